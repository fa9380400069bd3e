// One row of a sparse matrix while it is summed: a dense array over the columns, read off in the order of columns.
//
// Two ways to know which columns were touched, by which is cheaper: look at every column up to a limit, or list each column
// when it leaves zero and sort the list by a bitmap of two levels (O(columns listed + V / 4096)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

// Columns ascend; totals are positive.
struct Row {
  std::uint32_t id;
  const std::uint32_t* columns;
  const std::int64_t* totals;
  std::size_t size;
};

// Where finished rows go. Rows come in ascending order of ids, none of them empty.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void put(const Row& row) = 0;
};

class RowAccumulator {
 public:
  // `spare` columns from `vocabulary` on take what must not count; they are never read.
  RowAccumulator(std::size_t vocabulary, std::size_t spare);

  static std::size_t bytes(std::size_t vocabulary, std::size_t spare);

  // Whether looking at `limit` columns costs less than listing the columns of `cells` additions.
  static bool scans(std::size_t limit, std::size_t cells) noexcept { return limit / 32 < cells; }

  // Unsigned, because spare columns may wrap; who adds sees to it that no other does.
  std::uint64_t* values() noexcept { return values_.data(); }
  // Room for every column, spare ones too, and one entry more that a branchless append may write.
  std::uint32_t* touched() noexcept { return touched_.data(); }

  // Both give the row and set what they read back to zero. `take_listed` wants each touched column listed, at most once.
  Row take_scanned(std::uint32_t id, std::size_t limit);
  Row take_listed(std::uint32_t id, std::size_t listed);

 private:
  std::size_t vocabulary_;
  std::vector<std::uint64_t> values_, bits_, summary_;
  std::vector<std::uint32_t> touched_, columns_;
  std::vector<std::int64_t> totals_;
};

}  // namespace pivotkit
