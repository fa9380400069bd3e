#include "rows/row_cells.h"

#include <stdexcept>

#include "common/require.h"

namespace pivotkit {
namespace {

struct Header {
  std::uint32_t row, size;
  std::uint8_t column_bytes, total_bytes;
  std::uint16_t unused;
};
static_assert(sizeof(Header) == Segment::kHeader, "no padding");

// Stores `size` values at `out`, narrowed to Stored. `out` need not be aligned.
template <class Stored, class Value>
std::uint8_t* store(const Value* values, std::size_t size, std::uint8_t* out) {
  for (std::size_t i = 0; i < size; ++i) {
    const auto stored = static_cast<Stored>(values[i]);
    std::memcpy(out + i * sizeof(Stored), &stored, sizeof(Stored));
  }
  return out + size * sizeof(Stored);
}

// Calls visit(column, total) for each cell.
template <class Column, class Total, class Visit>
void each_cell(const Segment& segment, Visit&& visit) {
  for (std::size_t i = 0; i < segment.size; ++i) {
    Column column;
    Total total;
    std::memcpy(&column, segment.columns + i * sizeof(Column), sizeof(Column));
    std::memcpy(&total, segment.totals + i * sizeof(Total), sizeof(Total));
    visit(column, total);
  }
}

template <class Column, class Visit>
void each_cell(const Segment& segment, Visit&& visit) {
  if (segment.total_bytes == 2) return each_cell<Column, std::uint16_t>(segment, visit);
  if (segment.total_bytes == 4) return each_cell<Column, std::uint32_t>(segment, visit);
  each_cell<Column, std::uint64_t>(segment, visit);
}

template <class Visit>
void each_cell(const Segment& segment, Visit&& visit) {
  if (segment.column_bytes == 2) return each_cell<std::uint16_t>(segment, visit);
  each_cell<std::uint32_t>(segment, visit);
}

// Apart, so that the loops' registers owe nothing to it.
[[noreturn, gnu::cold, gnu::noinline]] void refuse_large() {
  refuse<std::overflow_error>("merge", "every total", "stay below 2^63", "a larger one");
}

// Each sum adds two numbers below 2^63, so a sum that is too large has its highest bit set.
void require_small(std::uint64_t all) {
  if (all >> 63 != 0) refuse_large();
}

}  // namespace

std::uint64_t checksum(const std::uint8_t* data, std::size_t size, std::uint64_t seed) {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15ULL;
  std::uint64_t sum = (seed + 1) * kOdd ^ size;
  const auto step = [&](std::uint64_t word) {
    sum = (sum ^ word) * kOdd;
    sum ^= sum >> 29;
  };
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, data + i, 8);
    step(word);
  }
  std::uint64_t rest = 0;
  if (i < size) std::memcpy(&rest, data + i, size - i);  // `data` may be null where there is nothing
  step(rest);
  return sum;
}

Segment Segment::at(const std::uint8_t* data) {
  Header header;
  std::memcpy(&header, data, sizeof header);
  Segment segment{header.row, header.size, header.column_bytes, header.total_bytes, data + sizeof header, nullptr};
  segment.totals = segment.columns + std::size_t{header.size} * header.column_bytes;
  return segment;
}

std::uint32_t Segment::last_column() const {
  std::uint32_t column = 0;
  std::memcpy(&column, columns + (size - std::size_t{1}) * column_bytes, column_bytes);  // little-endian, as all of it
  return column;
}

template <class Column, class Total>
void store_segment(const Segment& segment, const Column* columns, const Total* totals, std::uint8_t* out) {
  const Header header{segment.row, segment.size, static_cast<std::uint8_t>(segment.column_bytes),
                      static_cast<std::uint8_t>(segment.total_bytes), 0};
  std::memcpy(out, &header, sizeof header);
  out += sizeof header;
  out = segment.column_bytes == 2 ? store<std::uint16_t>(columns, segment.size, out)
                                  : store<std::uint32_t>(columns, segment.size, out);
  if (segment.total_bytes == 2)
    store<std::uint16_t>(totals, segment.size, out);
  else if (segment.total_bytes == 4)
    store<std::uint32_t>(totals, segment.size, out);
  else
    store<std::uint64_t>(totals, segment.size, out);
}

std::uint64_t largest_total(const Segment& segment) {
  std::uint64_t all = 0;
  each_cell(segment, [&](std::uint32_t, std::uint64_t total) { all |= total; });
  return all;
}

template <class Value>
void spread_cells(const Segment& segment, Value* values) {
  each_cell(segment, [&](std::uint32_t column, std::uint64_t total) { values[column] = static_cast<Value>(total); });
}

void load_cells(const Segment& segment, std::uint32_t* columns, std::int64_t* totals) {
  std::uint64_t all = 0;
  each_cell(segment, [&](std::uint32_t column, std::uint64_t total) {
    *columns++ = column;
    *totals++ = static_cast<std::int64_t>(total);
    all |= total;
  });
  require_small(all);
}

void add_cells(const Segment& segment, std::uint64_t* values) {
  std::uint64_t all = 0;
  each_cell(segment, [&](std::uint32_t column, std::uint64_t total) { all |= values[column] += total; });
  require_small(all);
}

std::size_t add_cells(const Segment& segment, std::uint64_t* values, std::uint32_t* touched, std::size_t listed) {
  std::uint64_t all = 0;
  each_cell(segment, [&](std::uint32_t column, std::uint64_t total) {
    touched[listed] = column;
    listed += values[column] == 0;
    all |= values[column] += total;
  });
  require_small(all);
  return listed;
}

void add_cells(const std::int32_t* columns, const std::uint32_t* totals, std::size_t size, std::uint64_t* values) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < size; ++i) all |= values[columns[i]] += totals[i];
  require_small(all);
}

std::size_t add_cells(const std::int32_t* columns, const std::uint32_t* totals, std::size_t size, std::uint64_t* values,
                      std::uint32_t* touched, std::size_t listed) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < size; ++i) {
    touched[listed] = static_cast<std::uint32_t>(columns[i]);
    listed += values[columns[i]] == 0;
    all |= values[columns[i]] += totals[i];
  }
  require_small(all);
  return listed;
}

template void spread_cells(const Segment&, std::uint16_t*);
template void spread_cells(const Segment&, std::uint32_t*);
template void store_segment(const Segment&, const std::uint32_t*, const std::int64_t*, std::uint8_t*);
template void store_segment(const Segment&, const std::int32_t*, const std::uint32_t*, std::uint8_t*);

}  // namespace pivotkit
