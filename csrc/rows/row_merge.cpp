#include "rows/row_merge.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <utility>

#include "common/parallel.h"
#include "rows/row_file.h"

namespace pivotkit {
namespace {

constexpr std::size_t kRangesPerThread = 16;  // so that threads end at about the same time
constexpr std::uint64_t kLeastRange = 1 << 16;
constexpr std::size_t kUsualCell = 4;  // bytes
constexpr std::size_t kRowCells = 3;   // taken by the id and the end of a row that waits, in a vector that grows

struct Range {
  std::size_t first, last;  // rows
  std::uint64_t bytes;      // in all files
};

// Says which range may be written; the ranges take turns. A failure ends all waiting.
class Turns {
 public:
  bool is(std::int64_t range) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return next_ == range;
  }
  bool wait(std::int64_t range) {  // false once something failed
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return next_ == range || error_; });
    return !error_;
  }
  void pass() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++next_;
    changed_.notify_all();
  }
  void fail(std::exception_ptr error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = std::move(error);
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t next_ = 0;
  std::exception_ptr error_;
};

// Finished rows of a range that waits for its turn.
class Waiting {
 public:
  // All is reserved at once: a vector that grows holds its old memory too. Pages that are not touched cost nothing.
  explicit Waiting(std::size_t cells) : capacity_(cells) {
    columns_.reserve(cells);
    totals_.reserve(cells);
  }

  bool keep(const Row& row) {
    if (columns_.size() + kRowCells * (rows_.size() + 1) + row.size > capacity_) return false;
    columns_.insert(columns_.end(), row.columns, row.columns + row.size);
    totals_.insert(totals_.end(), row.totals, row.totals + row.size);
    rows_.push_back({row.id, columns_.size()});
    return true;
  }
  void give(RowSink& sink) {
    std::size_t begin = 0;
    for (const auto& [id, end] : rows_) {
      sink.put({id, columns_.data() + begin, totals_.data() + begin, end - begin});
      begin = end;
    }
    rows_.clear();
    columns_.clear();
    totals_.clear();
  }

 private:
  std::size_t capacity_;
  std::vector<std::pair<std::uint32_t, std::size_t>> rows_;  // id, where its cells end
  std::vector<std::uint32_t> columns_;
  std::vector<std::int64_t> totals_;
};

// The memory of one thread, and how it adds up a range of rows.
class RangeMerger {
 public:
  RangeMerger(const std::vector<std::string>& paths, const std::vector<std::uint64_t>& sizes, std::size_t columns,
              std::size_t memory, Turns& turns, RowSink& sink)
      : paths_(paths), sizes_(sizes), columns_(columns), turns_(turns), sink_(sink), accumulator_(columns, 0),
        waiting_(memory / (sizeof(std::uint32_t) + sizeof(std::int64_t))) {}

  // Returns once the rows of the range are written, or something failed elsewhere. A range with `at_once` is read from
  // all files together. Any other range is a single row, read one file at a time.
  void merge(const Range& range, std::int64_t number, bool at_once) {
    walks_.clear();  // those of a range that was given up
    if (at_once) {
      room(static_cast<std::size_t>(range.bytes));
      std::size_t used = 0;
      for (const std::string& path : paths_) used += load(path, range, used);
      for (std::size_t row = range.first; row < range.last; ++row) {
        begin(row);
        gather(row);
        if (!end(gathered(row), number)) return;
      }
      require_done();
    } else {
      begin(range.first);
      for (const std::string& path : paths_) {
        room(RowFile(path, sizes_.size()).place(range.first, range.last).bytes());
        load(path, range, 0);
        gather(range.first);
        for (const Segment& segment : segments_) add(segment);
        require_done();
      }
      if (!end(sum(range.first), number)) return;
    }
    if (!turns_.wait(number)) return;
    waiting_.give(sink_);
    turns_.pass();
  }

 private:
  void room(std::size_t bytes) {
    if (bytes > buffer_.capacity()) buffer_ = std::vector<std::uint8_t>();  // not both at once
    buffer_.resize(bytes);
  }

  std::size_t load(const std::string& path, const Range& range, std::size_t used) {
    const RowFile file(path, sizes_.size());
    const RowFile::Place place = file.place(range.first, range.last);
    if (place.bytes() > buffer_.size() - used) file.corrupt(range.first);
    file.read(place, buffer_.data() + used);
    walks_.emplace_back(path, buffer_.data() + used, place.bytes(), columns_);
    return place.bytes();
  }

  void require_done() {
    for (const RowWalk& walk : walks_) walk.require_done();
    walks_.clear();
  }

  void begin(std::size_t row) {
    scans_ = RowAccumulator::scans(columns_, static_cast<std::size_t>(sizes_[row]) / kUsualCell);
    listed_ = 0;
  }

  // Takes the segments of the row, which stay in the buffer until the row ends.
  void gather(std::size_t row) {
    Segment segment;
    segments_.clear();
    for (RowWalk& walk : walks_)
      if (walk.take(row, segment)) segments_.push_back(segment);
  }

  void add(const Segment& segment) {
    if (scans_)
      add_cells(segment, accumulator_.values());
    else
      listed_ = add_cells(segment, accumulator_.values(), accumulator_.touched(), listed_);
  }

  // The row that was gathered. A row of one file needs no sum.
  Row gathered(std::size_t row_id) {
    if (segments_.size() != 1) {
      for (const Segment& segment : segments_) add(segment);
      return sum(row_id);
    }
    const Segment& segment = segments_.front();
    loaded_columns_.resize(segment.size);
    loaded_totals_.resize(segment.size);
    load_cells(segment, loaded_columns_.data(), loaded_totals_.data());
    return {static_cast<std::uint32_t>(row_id), loaded_columns_.data(), loaded_totals_.data(), segment.size};
  }

  Row sum(std::size_t row_id) {
    const auto id = static_cast<std::uint32_t>(row_id);
    return scans_ ? accumulator_.take_scanned(id, columns_) : accumulator_.take_listed(id, listed_);
  }

  // Gives the row to the sink or to those that wait. Returns false when something failed elsewhere.
  bool end(const Row& row, std::int64_t number) {
    if (row.size == 0 || (!turns_.is(number) && waiting_.keep(row))) return true;
    if (!turns_.wait(number)) return false;
    waiting_.give(sink_);
    sink_.put(row);
    return true;
  }

  const std::vector<std::string>& paths_;
  const std::vector<std::uint64_t>& sizes_;  // of the rows, in all files together
  std::size_t columns_;
  Turns& turns_;
  RowSink& sink_;
  RowAccumulator accumulator_;
  Waiting waiting_;
  std::vector<std::uint8_t> buffer_;
  std::vector<RowWalk> walks_;  // of the files in the buffer
  std::vector<Segment> segments_;
  std::vector<std::uint32_t> loaded_columns_;
  std::vector<std::int64_t> loaded_totals_;
  bool scans_ = false;
  std::size_t listed_ = 0;
};

// Cuts the rows into ranges of at most `most` bytes, or of one row.
std::vector<Range> ranges_of(const std::vector<std::uint64_t>& sizes, std::uint64_t most) {
  std::vector<Range> ranges;
  for (std::size_t row = 0; row < sizes.size(); ++row) {
    if (ranges.empty() || ranges.back().bytes + sizes[row] > most) ranges.push_back({row, row, 0});
    ranges.back().last = row + 1;
    ranges.back().bytes += sizes[row];
  }
  return ranges;
}

}  // namespace

void merge_row_files(const std::vector<std::string>& paths, std::size_t rows, std::size_t columns, std::size_t memory,
                     int threads, RowSink& sink) {
  std::vector<std::uint64_t> sizes(rows);
  for (const std::string& path : paths) RowFile(path, rows).add_sizes(sizes);
  const std::uint64_t total = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
  const std::size_t share = memory / static_cast<std::size_t>(threads);
  const std::uint64_t even = total / static_cast<std::uint64_t>(threads) / kRangesPerThread;
  const std::uint64_t most = share / 3;
  const std::vector<Range> ranges = ranges_of(sizes, std::min(most, std::max(even, kLeastRange)));
  Turns turns;
  std::vector<std::unique_ptr<RangeMerger>> mergers(static_cast<std::size_t>(threads));
  parallel_for(static_cast<std::int64_t>(ranges.size()), 1, threads, [&](std::int64_t begin, std::int64_t, int worker) {
    try {
      std::unique_ptr<RangeMerger>& merger = mergers[static_cast<std::size_t>(worker)];
      if (!merger) merger = std::make_unique<RangeMerger>(paths, sizes, columns, share - share / 3, turns, sink);
      const Range& range = ranges[static_cast<std::size_t>(begin)];
      merger->merge(range, begin, range.bytes <= most);
    } catch (...) {
      turns.fail(std::current_exception());  // before parallel_for sees it, because others wait for this range
      throw;
    }
  });
}

}  // namespace pivotkit
