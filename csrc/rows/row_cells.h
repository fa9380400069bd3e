// The cells of a sparse matrix's row as bytes: a header, the columns in 2 or 4 bytes each and the totals in 2, 4 or 8,
// whichever holds all of them. A row may take several such segments, of ascending columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pivotkit {

// Changes with every change that is confined to eight aligned bytes (each step is a bijection of the word); of other changes
// it misses one in 2^64.
std::uint64_t checksum(const std::uint8_t* data, std::size_t size, std::uint64_t seed);

// Cells as they lie in memory, not aligned.
struct Segment {
  std::uint32_t row = 0;
  std::uint32_t size = 0;
  unsigned column_bytes = 0, total_bytes = 0;
  const std::uint8_t* columns = nullptr;
  const std::uint8_t* totals = nullptr;

  static constexpr std::size_t kHeader = 12;
  static constexpr std::size_t kWidestCell = 12;

  // The segment that begins at `data`; its bytes are not looked at.
  static Segment at(const std::uint8_t* data);
  std::uint32_t last_column() const;
  std::size_t bytes() const noexcept { return kHeader + std::size_t{size} * (column_bytes + std::size_t{total_bytes}); }
};

// What a segment of these cells will be; columns must ascend and `size` be positive.
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

// Adds the cells into `values`, an array over the columns. A sum of 2^63 or more throws std::overflow_error.
void add_cells(const Segment& segment, std::uint64_t* values);

// The same; lists the columns that leave zero in `touched` behind the `listed` that are there, and returns how many are then.
std::size_t add_cells(const Segment& segment, std::uint64_t* values, std::uint32_t* touched, std::size_t listed);

}  // namespace pivotkit
