// The token graph of a corpus: how often any two tokens stand within a window of one another. Exact, in bounded memory.
//
//   symmetric   X(a, b) = X(b, a) = sum of w(d) over unordered pairs of positions {i, i + d} of a document, d <= W,
//               whose ids are a and b. Kept once, as row max(a, b) and column min(a, b); X(a, a) counts each pair once.
//   directed    X(a, b) = the same where ids[i] = a and ids[i + d] = b. Row a, column b.
//
// Weights are integers with 0 <= w(d) and a sum of at most 2^30. The caller scales and rounds the weight of each
// distance once. So sums are exact and associative, and are the same to the bit however the corpus is cut, in whatever
// order it comes and whatever the memory. A total of 2^63 or more throws std::overflow_error. Pairs never cross
// documents.
//
// Design. Text fills a block (`PairBlock`, as large as memory allows). Each full block becomes a sorted run on disk
// (`SortedRun`, with checksums). `fan_in` runs of one level become one run of the next (`merge_runs`). At the end all
// that is left becomes the graph (`CsrWriter`). A corpus of one block needs no run. The sum of all cells written is
// compared with the sum of weights that follows from the lengths of the documents.
//
// Cost: 2 W additions per token into an array over the vocabulary (W if directed); per distinct pair of a block 4 to 6
// bytes on disk, and one addition per level, with log(blocks) / log(fan_in) levels. Memory: `memory` bytes beyond what
// the process held before; at least about 40 bytes per id of the vocabulary, and `fan_in` KiB. Disk: the runs, at most
// twice while they merge.
//
// GloVe's `cooccur` (J. Pennington, R. Socher, C. Manning, EMNLP 2014) writes a record of 16 bytes per pair outside a
// dense table of frequent ids, and sorts record by record. Here nothing is written for a pair until its block is
// summed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "rows/csr_writer.h"
#include "rows/row_accumulator.h"
#include "token_graph/pair_block.h"
#include "token_graph/sorted_run.h"

namespace pivotkit {

struct TokenGraphOptions {
  std::size_t vocabulary = 0;  // ids are below it; at most 2^31 - 1
  PairRule rule;
  std::size_t memory = 0;
  std::string folder;  // for runs: this counter owns its files there and removes them at its end
  std::size_t fan_in = 64;
};

struct TokenGraphSeconds {
  // copying text; positions; sums; merging; in system writes
  double fill = 0, index = 0, rows = 0, merge = 0, write = 0;
};

class TokenGraphCounter {
 public:
  explicit TokenGraphCounter(TokenGraphOptions options);
  ~TokenGraphCounter();
  TokenGraphCounter(const TokenGraphCounter&) = delete;
  TokenGraphCounter& operator=(const TokenGraphCounter&) = delete;

  // Counts documents ids[offsets[d] .. offsets[d + 1]); Id is uint16_t or uint32_t. `continued`: the first of them
  // continues the last document of the call before. An id outside the vocabulary throws std::out_of_range before
  // anything is counted.
  template <class Id>
  void add(const Id* ids, const std::int64_t* offsets, std::size_t documents, bool continued);

  // Adds cells of a graph of the same rule: row first_row + r has the columns [offsets[r] .. offsets[r + 1]),
  // ascending, with positive totals. Rows of one graph come in ascending order; a row that is not above the one before
  // begins another graph.
  void add_rows(std::size_t first_row, std::size_t rows, const std::int64_t* offsets, const std::int32_t* columns,
                const std::int64_t* totals);

  void spill();  // the block so far becomes a run
  // Writes the graph and returns the number of its cells. The counter cannot be used afterwards.
  std::uint64_t finish(const CsrWriter::Paths& paths);

  std::uint64_t documents() const noexcept { return documents_; }
  std::uint64_t tokens() const noexcept { return tokens_; }
  std::uint64_t spilled_bytes() const noexcept { return spilled_bytes_; }
  std::uint64_t runs() const noexcept { return next_run_; }  // written so far, merged ones too
  const TokenGraphSeconds& seconds() const noexcept { return seconds_; }

 private:
  template <class Work>
  auto guarded(Work&& work);
  void plan();
  template <class Id>
  void append(const Id* ids, std::size_t count);
  void end_document();
  void spill_block();
  void close_graph();
  template <class Writer>
  void take_block(Writer& writer);
  template <class Writer>
  void merge_into(const std::vector<SortedRun>& runs, Writer& writer);
  SortedRun merge(const std::vector<SortedRun>& runs);
  void push(SortedRun run, std::size_t level);
  void merge_all(CsrWriter& writer);
  std::string new_run();
  std::uint64_t mass(std::uint64_t length) const noexcept;

  TokenGraphOptions options_;
  std::size_t buffer_ = 0, cells_ = 0;
  std::vector<std::uint64_t> weight_sums_, moment_sums_;  // of w(d) and d w(d), up to each distance
  std::unique_ptr<RowAccumulator> accumulator_;
  std::variant<std::unique_ptr<PairBlock<std::uint16_t>>, std::unique_ptr<PairBlock<std::uint32_t>>> block_;
  std::vector<std::vector<SortedRun>> levels_;
  std::vector<std::string> paths_;    // of runs that may be on disk
  std::unique_ptr<RunWriter> graph_;  // of add_rows
  std::int64_t last_row_ = -1;
  bool open_ = false, broken_ = false;
  std::uint64_t length_ = 0;  // of the open document
  std::uint64_t documents_ = 0, tokens_ = 0, mass_ = 0, spilled_bytes_ = 0, next_run_ = 0;
  TokenGraphSeconds seconds_;
};

}  // namespace pivotkit
