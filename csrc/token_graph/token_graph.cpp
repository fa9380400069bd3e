#include "token_graph/token_graph.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "common/clock.h"
#include "common/require.h"
#include "token_graph/run_merge.h"

namespace pivotkit {
namespace {

constexpr std::size_t kSpare = PairBlock<std::uint32_t>::kSpare;
constexpr std::size_t kMostCells = std::size_t{1} << 31;  // positions in 32 bits, sums of a block below 2^62
constexpr std::size_t kMostRunBuffer = std::size_t{1} << 18;

void check(const TokenGraphOptions& options) {
  constexpr auto kMostIds = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (options.vocabulary == 0 || options.vocabulary > kMostIds)
    refuse("TokenGraphCounter", "vocabulary", text("be in [1, ", kMostIds, "]"), options.vocabulary);
  if (options.rule.weights.empty() || options.rule.weights.size() > (std::size_t{1} << 20))
    refuse("TokenGraphCounter", "weights", "be for 1 to 2^20 distances", options.rule.weights.size());
  std::int64_t left = std::int64_t{1} << 30;
  for (const std::int64_t weight : options.rule.weights) {
    if (weight < 0) refuse("TokenGraphCounter", "weights", "be at least 0", weight);
    if (weight > left) refuse("TokenGraphCounter", "weights", "have a sum of at most 2^30", weight);
    left -= weight;
  }
  if (options.fan_in < 2 || options.fan_in > 256)
    refuse("TokenGraphCounter", "fan_in", "be in [2, 256]", options.fan_in);
}

}  // namespace

// After a failure the counts are not known, so no further call is allowed.
template <class Work>
auto TokenGraphCounter::guarded(Work&& work) {
  if (broken_)
    refuse<std::runtime_error>("TokenGraphCounter", "the counter", "not be used after a failure or after finish",
                               "a call");
  broken_ = true;
  struct Restore {
    bool& broken;
    bool done = false;
    ~Restore() { broken = !done; }
  } restore{broken_};
  if constexpr (std::is_void_v<decltype(work())>) {
    work();
    restore.done = true;
  } else {
    auto result = work();
    restore.done = true;
    return result;
  }
}

TokenGraphCounter::TokenGraphCounter(TokenGraphOptions options) : options_(std::move(options)) {
  check(options_);
  plan();
  std::uint64_t weights = 0, moments = 0;
  for (std::size_t i = 0; i < options_.rule.weights.size(); ++i) {
    const auto weight = static_cast<std::uint64_t>(options_.rule.weights[i]);
    weight_sums_.push_back(weights += weight);
    moment_sums_.push_back(moments += weight * (i + 1));
  }
}

TokenGraphCounter::~TokenGraphCounter() {
  graph_.reset();
  for (const std::string& path : paths_) ::unlink(path.c_str());
}

// Plans everything whose size does not depend on the corpus. The block takes the rest.
void TokenGraphCounter::plan() {
  const std::size_t vocabulary = options_.vocabulary;
  const std::size_t window = options_.rule.weights.size();
  const bool narrow = vocabulary < std::numeric_limits<std::uint16_t>::max();
  const std::size_t cell = narrow ? PairBlock<std::uint16_t>::kBytesPerCell : PairBlock<std::uint32_t>::kBytesPerCell;
  const auto fixed = [&](std::size_t buffer) {
    return RowAccumulator::bytes(vocabulary, kSpare) +
           (vocabulary + 2) * (sizeof(std::uint32_t) + sizeof(std::int64_t)) + (options_.fan_in + 4) * (buffer + 512) +
           window * 32 + (std::size_t{1} << 16);
  };
  const std::size_t least = fixed(kLeastRunBuffer) + PairBlock<std::uint32_t>::least_cells(window) * cell;
  if (options_.memory < least)
    refuse("TokenGraphCounter", "memory", text("be at least ", least, " bytes for ", vocabulary, " ids"),
           options_.memory);
  buffer_ = std::clamp((options_.memory - least) / 16 / (options_.fan_in + 4), kLeastRunBuffer, kMostRunBuffer);
  cells_ = std::min((options_.memory - fixed(buffer_)) / cell, kMostCells - 1);
  accumulator_ = std::make_unique<RowAccumulator>(vocabulary, kSpare);
  if (narrow)
    block_ = std::make_unique<PairBlock<std::uint16_t>>(vocabulary, options_.rule, cells_);
  else
    block_ = std::make_unique<PairBlock<std::uint32_t>>(vocabulary, options_.rule, cells_);
}

// The weights of all pairs of a document, modulo 2^64.
std::uint64_t TokenGraphCounter::mass(std::uint64_t length) const noexcept {
  if (length < 2) return 0;
  const auto reach = static_cast<std::size_t>(std::min<std::uint64_t>(length - 1, weight_sums_.size()));
  return length * weight_sums_[reach - 1] - moment_sums_[reach - 1];
}

template <class Id>
void TokenGraphCounter::add(const Id* ids, const std::int64_t* offsets, std::size_t documents, bool continued) {
  const auto total = static_cast<std::size_t>(offsets[documents]);
  Id largest = 0;
  for (std::size_t i = 0; i < total; ++i) largest = std::max(largest, ids[i]);
  if (total > 0 && largest >= options_.vocabulary)
    refuse<std::out_of_range>("add", "ids", text("be below the vocabulary, ", options_.vocabulary), largest);
  if (continued && !open_) refuse("add", "continued", "follow a document", "none");
  if (documents == 0) return;
  guarded([&] {
    for (std::size_t d = 0; d < documents; ++d) {
      if (d > 0 || !continued) {
        end_document();
        open_ = true;
        std::visit([](auto& block) { block->begin_document(); }, block_);
        ++documents_;
      }
      append(ids + offsets[d], static_cast<std::size_t>(offsets[d + 1] - offsets[d]));
    }
  });
}

template <class Id>
void TokenGraphCounter::append(const Id* ids, std::size_t count) {
  mass_ += mass(length_ + count) - mass(length_);
  length_ += count;
  tokens_ += count;
  while (count > 0) {
    std::size_t done = 0;
    {
      const Clock clock(seconds_.fill);
      done = std::visit([&](auto& block) { return block->append(ids, count); }, block_);
    }
    ids += done;
    count -= done;
    if (count > 0) spill_block();
  }
}

void TokenGraphCounter::end_document() {
  if (open_) std::visit([](auto& block) { block->end_document(); }, block_);
  open_ = false;
  length_ = 0;
}

void TokenGraphCounter::add_rows(std::size_t first_row, std::size_t rows, const std::int64_t* offsets,
                                 const std::int32_t* columns, const std::int64_t* totals) {
  const std::size_t vocabulary = options_.vocabulary;
  if (first_row > vocabulary || rows > vocabulary - first_row)
    refuse<std::out_of_range>("add_rows", "rows", text("be below the vocabulary, ", vocabulary), first_row + rows);
  for (std::size_t r = 0; r < rows; ++r) {
    std::int64_t before = -1;
    const auto limit = static_cast<std::int64_t>(options_.rule.symmetric ? first_row + r + 1 : vocabulary);
    for (std::int64_t i = offsets[r]; i < offsets[r + 1]; ++i) {
      if (columns[i] <= before || columns[i] >= limit)
        refuse<std::out_of_range>("add_rows", "columns", text("ascend below ", limit), columns[i]);
      if (totals[i] <= 0) refuse("add_rows", "totals", "be positive", totals[i]);
      before = columns[i];
    }
  }
  guarded([&] {
    if (static_cast<std::int64_t>(first_row) <= last_row_) close_graph();
    std::vector<std::uint32_t> ids;  // a row's columns, as the runs hold them
    for (std::size_t r = 0; r < rows; ++r) {
      const auto size = static_cast<std::size_t>(offsets[r + 1] - offsets[r]);
      if (size == 0) continue;
      if (!graph_) graph_ = std::make_unique<RunWriter>(new_run(), buffer_);
      ids.assign(columns + offsets[r], columns + offsets[r + 1]);
      graph_->put({static_cast<std::uint32_t>(first_row + r), ids.data(), totals + offsets[r], size});
      for (std::int64_t i = offsets[r]; i < offsets[r + 1]; ++i) mass_ += static_cast<std::uint64_t>(totals[i]);
    }
    if (rows > 0) last_row_ = static_cast<std::int64_t>(first_row + rows - 1);
  });
}

void TokenGraphCounter::close_graph() {
  last_row_ = -1;
  if (!graph_) return;
  SortedRun run = graph_->finish();
  graph_.reset();
  push(std::move(run), 0);
}

std::string TokenGraphCounter::new_run() {
  paths_.push_back(options_.folder + "/" + std::to_string(next_run_++) + ".run");
  return paths_.back();
}

void TokenGraphCounter::spill() {
  guarded([&] { spill_block(); });
}

void TokenGraphCounter::spill_block() {
  if (std::visit([](auto& block) { return block->empty(); }, block_)) return;
  RunWriter writer(new_run(), buffer_);
  take_block(writer);
  push(writer.finish(), 0);
}

// Gives the rows of the block to a writer. The time of the index and of the system's writes does not count as time of
// rows.
template <class Writer>
void TokenGraphCounter::take_block(Writer& writer) {
  std::visit(
      [&](auto& block) {
        const double indexed = block->index_seconds(), written = writer.seconds();
        {
          const Clock clock(seconds_.rows);
          block->take_rows(*accumulator_, writer);
        }
        const double index = block->index_seconds() - indexed, write = writer.seconds() - written;
        seconds_.index += index;
        seconds_.write += write;
        seconds_.rows -= index + write;
      },
      block_);
}

template <class Writer>
void TokenGraphCounter::merge_into(const std::vector<SortedRun>& runs, Writer& writer) {
  {
    const Clock clock(seconds_.merge);
    merge_runs(runs, buffer_, options_.rule.symmetric, options_.vocabulary, *accumulator_, writer);
  }
  seconds_.write += writer.seconds();
  seconds_.merge -= writer.seconds();
  for (const SortedRun& run : runs) {
    ::unlink(run.path.c_str());
    paths_.erase(std::find(paths_.begin(), paths_.end(), run.path));
  }
}

SortedRun TokenGraphCounter::merge(const std::vector<SortedRun>& runs) {
  RunWriter writer(new_run(), buffer_);
  merge_into(runs, writer);
  SortedRun merged = writer.finish();
  spilled_bytes_ += merged.bytes;
  return merged;
}

void TokenGraphCounter::push(SortedRun run, std::size_t level) {
  if (level == 0) spilled_bytes_ += run.bytes;
  if (levels_.size() <= level) levels_.resize(level + 1);
  levels_[level].push_back(std::move(run));
  if (levels_[level].size() < options_.fan_in) return;
  const std::vector<SortedRun> runs = std::exchange(levels_[level], {});
  push(merge(runs), level + 1);
}

// Merges all runs into the graph. Where more runs are left than can be open, the smallest are merged first.
void TokenGraphCounter::merge_all(CsrWriter& writer) {
  std::vector<SortedRun> runs;
  for (std::vector<SortedRun>& level : levels_) std::move(level.begin(), level.end(), std::back_inserter(runs));
  levels_.clear();
  const auto smaller = [](const SortedRun& a, const SortedRun& b) { return a.bytes < b.bytes; };
  std::stable_sort(runs.begin(), runs.end(), smaller);
  while (runs.size() > options_.fan_in) {
    const auto count = static_cast<std::ptrdiff_t>(std::min(options_.fan_in, runs.size() - options_.fan_in + 1));
    runs.push_back(merge({runs.begin(), runs.begin() + count}));
    runs.erase(runs.begin(), runs.begin() + count);
  }
  merge_into(runs, writer);
}

std::uint64_t TokenGraphCounter::finish(const CsrWriter::Paths& paths) {
  const std::uint64_t cells = guarded([&] {
    end_document();
    close_graph();
    CsrWriter writer(paths, options_.vocabulary, buffer_);
    if (next_run_ == 0) {
      take_block(writer);
    } else {
      spill_block();
      std::visit([](auto& block) { block->free(); }, block_);
      merge_all(writer);
    }
    writer.finish();
    if (writer.sum() != mass_)
      refuse<std::logic_error>("TokenGraphCounter", "the graph", text("hold the weights of all pairs, ", mass_),
                               writer.sum());
    return writer.cells();
  });
  broken_ = true;  // spent
  return cells;
}

template void TokenGraphCounter::add(const std::uint16_t*, const std::int64_t*, std::size_t, bool);
template void TokenGraphCounter::add(const std::uint32_t*, const std::int64_t*, std::size_t, bool);

}  // namespace pivotkit
