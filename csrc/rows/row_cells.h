// The cells of a row of a sparse matrix as bytes: a header, the columns in 2 or 4 bytes each and the totals in 2, 4 or
// 8, the fewest that hold all of them. A row may take several such segments, in ascending order of columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pivotkit {

// Every change confined to eight aligned bytes changes the checksum, because each step is a bijection of the word. Of
// other changes it misses one in 2^64.
std::uint64_t checksum(const std::uint8_t* data, std::size_t size, std::uint64_t seed);

// Cells in memory; they need not be aligned.
struct Segment {
  std::uint32_t row = 0;
  std::uint32_t size = 0;
  unsigned column_bytes = 0, total_bytes = 0;
  const std::uint8_t* columns = nullptr;
  const std::uint8_t* totals = nullptr;

  static constexpr std::size_t kHeader = 12;
  static constexpr std::size_t kWidestCell = 12;

  // The segment that begins at `data`. Reads its header alone.
  static Segment at(const std::uint8_t* data);
  std::uint32_t last_column() const;
  const std::uint8_t* data() const noexcept { return columns - kHeader; }
  std::size_t bytes() const noexcept { return kHeader + std::size_t{size} * (column_bytes + std::size_t{total_bytes}); }
};

// Plans the segment of these cells. Columns must ascend and `size` must be positive.
template <class Column, class Total>
Segment segment_of(std::uint32_t row, const Column* columns, const Total* totals, std::size_t size) {
  std::uint64_t all = 0;  // the highest bit of any total
  for (std::size_t i = 0; i < size; ++i) all |= static_cast<std::uint64_t>(totals[i]);
  Segment segment;
  segment.row = row;
  segment.size = static_cast<std::uint32_t>(size);
  segment.column_bytes = static_cast<std::uint32_t>(columns[size - 1]) >> 16 == 0 ? 2 : 4;
  segment.total_bytes = all >> 16 == 0 ? 2 : all >> 32 == 0 ? 4 : 8;
  return segment;
}

// Writes segment.bytes() bytes at `out`.
template <class Column, class Total>
void store_segment(const Segment& segment, const Column* columns, const Total* totals, std::uint8_t* out);

// A number that no total exceeds: the bits of all of them.
std::uint64_t largest_total(const Segment& segment);

// Puts the totals into `values`, an array over the columns that they fit.
template <class Value>
void spread_cells(const Segment& segment, Value* values);

// Writes the cells to `columns` and `totals`, which have room for segment.size of each. A total of 2^63 or more throws
// std::overflow_error.
void load_cells(const Segment& segment, std::uint32_t* columns, std::int64_t* totals);

// Adds the cells into `values`, an array over the columns. A sum of 2^63 or more throws std::overflow_error.
void add_cells(const Segment& segment, std::uint64_t* values);

// The same for cells in arrays.
void add_cells(const std::int32_t* columns, const std::uint32_t* totals, std::size_t size, std::uint64_t* values);

// Both again. Columns that leave zero are added to the list `touched`, which holds `listed` columns so far. Returns how
// many it holds then.
std::size_t add_cells(const Segment& segment, std::uint64_t* values, std::uint32_t* touched, std::size_t listed);
std::size_t add_cells(const std::int32_t* columns, const std::uint32_t* totals, std::size_t size, std::uint64_t* values,
                      std::uint32_t* touched, std::size_t listed);

}  // namespace pivotkit
