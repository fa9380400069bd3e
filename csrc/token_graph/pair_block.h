// A block of text whose pairs become rows of the graph, in order and without a list of pairs.
//
// The rows of a product of sparse matrices (F. Gustavson, "Two fast algorithms for sparse matrices", ACM TOMS 4(3),
// 1978). A counting sort lists the positions of each token: 4 bytes per position instead of a record per pair. A row is
// the sum of the windows round the positions of its token, in a dense array over the vocabulary that fits a core's
// second-level cache. So a block becomes a sorted run directly, and nothing is sorted pair by pair.
//
// Symmetric: the row of a pair is its larger id, so the columns are the smaller ids. In a vocabulary ordered by
// frequency (as that of BPE nearly is) these are the frequent ones, and their cells lie together in the first-level
// cache.
//
// Between documents there are cells that are no token, so that a window can be walked kStep cells at a time, unrolled.
// Up to kUnrolled steps, the gap is as long as the window, and nothing looks for the end of the document. Longer
// windows have a gap of kStep cells and look for the end once per step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/huge_array.h"
#include "rows/row_accumulator.h"

namespace pivotkit {

// The pairs of a graph: for each distance from 1 on a weight, which is a positive integer or 0.
struct PairRule {
  std::vector<std::int64_t> weights;
  bool symmetric = true;
};

template <class Cell>  // uint16_t or uint32_t, larger than the vocabulary
class PairBlock {
 public:
  static constexpr std::ptrdiff_t kStep = 5;
  static constexpr std::size_t kUnrolled = 3;
  static constexpr std::size_t kSpare = kStep + 1;  // columns that the accumulator must have to spare
  static constexpr std::size_t kBytesPerCell = sizeof(Cell) + sizeof(std::uint32_t);

  // The fewest cells that a block can work with. `cells` must be at least that, and less than 2^31.
  static std::size_t least_cells(std::size_t window) { return 2 * window + 64; }
  PairBlock(std::size_t vocabulary, const PairRule& rule, std::size_t cells);

  bool empty() const noexcept { return size_ == first_; }
  void begin_document() noexcept { document_ = size_; }
  // Copies as many ids as there is room for and returns how many.
  template <class Id>
  std::size_t append(const Id* ids, std::size_t count);
  void end_document();

  // Gives the rows of all pairs of the block and empties the block. An open document goes on: the block keeps its last
  // cells and does not count their pairs with one another again.
  void take_rows(RowAccumulator& accumulator, RowSink& sink);
  void free() noexcept;

  double index_seconds() const noexcept { return index_seconds_; }

 private:
  void index();
  void restart();
  template <bool kSymmetric>
  void rows_by_steps(RowAccumulator& accumulator, RowSink& sink);
  template <bool kSymmetric, int kSteps>
  void rows(RowAccumulator& accumulator, RowSink& sink);
  template <bool kSymmetric, int kSteps, bool kListed>
  std::size_t gather(std::uint32_t row, std::size_t begin, std::size_t end, RowAccumulator& accumulator);
  template <bool kSymmetric>
  void gather_kept(std::uint32_t row, std::size_t position, RowAccumulator& accumulator);

  std::size_t vocabulary_, window_, steps_, gap_, capacity_;
  std::vector<std::uint64_t> weights_;  // by distance from 1, zeros up to a multiple of kStep
  bool symmetric_;
  HugeArray<Cell> text_;
  HugeArray<std::uint32_t> positions_;
  std::vector<std::uint32_t> ends_;  // (vocabulary + 1): where each token's positions end
  std::size_t size_ = 0, document_ = 0;
  std::size_t first_ = 0;  // cells before it were counted with one another in an earlier block
  double index_seconds_ = 0;
};

}  // namespace pivotkit
