// One row of a sparse matrix while it is summed: a dense array over the columns, read in the order of columns.
//
// The accumulator knows in two ways which columns were touched, and takes the cheaper one. It looks at every column up
// to a limit, or it lists each column when the column leaves zero and sorts the list by a bitmap of two levels
// (O(columns listed + V / 4096)).
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

// Takes finished rows. Rows come in ascending order of ids, and none is empty.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void put(const Row& row) = 0;
};

class RowAccumulator {
 public:
  // The `spare` columns from `vocabulary` on take what must not count. They are never read.
  RowAccumulator(std::size_t vocabulary, std::size_t spare);

  static std::size_t bytes(std::size_t vocabulary, std::size_t spare);

  // Whether looking at `limit` columns costs less than listing the columns of `cells` additions.
  static bool scans(std::size_t limit, std::size_t cells) noexcept { return limit / 32 < cells; }

  // Unsigned, because spare columns may wrap. The caller makes sure that no other column does.
  std::uint64_t* values() noexcept { return values_.data(); }
  // Room for every column, spare ones too, and one more entry that a branchless append may write.
  std::uint32_t* touched() noexcept { return touched_.data(); }

  // Both give the row and set what they read back to zero. `take_listed` needs each touched column in the list, and
  // none of them twice.
  Row take_scanned(std::uint32_t id, std::size_t limit);
  Row take_listed(std::uint32_t id, std::size_t listed);

 private:
  std::size_t vocabulary_;
  std::vector<std::uint64_t> values_, bits_, summary_;
  std::vector<std::uint32_t> touched_, columns_;
  std::vector<std::int64_t> totals_;
};

}  // namespace pivotkit
