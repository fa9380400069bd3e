// The token graph of a corpus: how much any two tokens stand together within a window, exact, in bounded memory.
//
//   symmetric   X(a, b) = X(b, a) = sum of w(d) over unordered pairs of positions {i, i + d} of one document, 1 <= d <= W,
//               whose ids are a and b. Kept once, as row max(a, b) and column min(a, b); X(a, a) counts each pair once.
//   directed    X(a, b) = the same where ids[i] = a and ids[i + d] = b. Row a, column b.
//
// Weights are integers, 0 <= w(d), their sum at most 2^30: the caller scales and rounds each distance's weight once, so that
// sums are exact, associative and the same to the bit however the corpus is cut, in whatever order it comes and within
// whatever memory. A total of 2^63 or more throws std::overflow_error. Pairs never cross documents.
//
// Design. Text fills a block (`PairBlock`, as large as memory allows), each full block becomes a sorted run on disk
// (`SortedRun`, checksummed), `fan_in` runs of a level become one of the next (`merge_runs`), and what is left at the end
// becomes the graph (`CsrWriter`); a corpus of one block goes straight there. What was written is checked against the sum
// of weights that the documents' lengths foretell.
//
// Cost: a token's window, 2 W additions into an array over the vocabulary (W directed), and of each distinct pair of a
// block 4 to 6 bytes on disk and one addition a level, levels being log(blocks) / log(fan_in). Memory: `memory` bytes beyond
// what the process held; the least is about 40 bytes an id of the vocabulary and `fan_in` KiB. Disk: the runs, at most twice
// while they merge.
//
// Compare GloVe's `cooccur` (J. Pennington, R. Socher, C. Manning, EMNLP 2014): a record of 16 bytes for each pair outside
// a dense table of frequent ones, sorted record by record; here nothing is written for a pair until its block is summed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "rows/csr_writer.h"
#include "token_graph/pair_block.h"
#include "rows/row_accumulator.h"
#include "token_graph/sorted_run.h"

namespace pivotkit {

struct TokenGraphOptions {
  std::size_t vocabulary = 0;  // ids are below it; at most 2^31 - 1
  PairRule rule;
  std::size_t memory = 0;
  std::string folder;  // for runs: files of this counter alone, gone with it
  std::size_t fan_in = 64;
};

struct TokenGraphSeconds {
  double fill = 0, index = 0, rows = 0, merge = 0, write = 0;  // copying text; positions; sums; merging; in system writes
};

class TokenGraphCounter {
 public:
  explicit TokenGraphCounter(TokenGraphOptions options);
  ~TokenGraphCounter();
  TokenGraphCounter(const TokenGraphCounter&) = delete;
  TokenGraphCounter& operator=(const TokenGraphCounter&) = delete;

  // Documents ids[offsets[d] .. offsets[d + 1]); Id is uint16_t or uint32_t. `continued`: the first is the rest of the last
  // document of the call before. An id outside the vocabulary throws std::out_of_range before anything is counted.
  template <class Id>
  void add(const Id* ids, const std::int64_t* offsets, std::size_t documents, bool continued);

  // Cells of a graph of the same rule: rows first_row + r, columns[offsets[r] .. offsets[r + 1]) ascending, totals positive.
  // Rows of one graph come in ascending order; a row not above the one before begins another graph.
  void add_rows(std::size_t first_row, std::size_t rows, const std::int64_t* offsets, const std::int32_t* columns,
                const std::int64_t* totals);

  void spill();  // the block so far becomes a run
  // Writes the graph; the counter is spent. Returns how many cells.
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
  std::vector<std::string> paths_;  // of runs that may be on disk
  std::unique_ptr<RunWriter> graph_;  // of add_rows
  std::int64_t last_row_ = -1;
  bool open_ = false, broken_ = false;
  std::uint64_t length_ = 0;  // of the open document
  std::uint64_t documents_ = 0, tokens_ = 0, mass_ = 0, spilled_bytes_ = 0, next_run_ = 0;
  TokenGraphSeconds seconds_;
};

}  // namespace pivotkit
