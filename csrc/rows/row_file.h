// A sparse matrix in a file of which any range of rows can be read.
//
// The file holds the rows that are not empty, one record each (row_records.h); then where each row begins (rows + 1
// uint64); then the footer: the digest of the records, a checksum of the index (seeded with that digest), the number of
// rows. A file that was cut short, extended or altered is refused, never added up. Two files with the same footer hold
// the same rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/file.h"
#include "rows/row_accumulator.h"
#include "rows/row_records.h"

namespace pivotkit {

constexpr std::size_t kRowFileBuffer = std::size_t{1} << 20;  // bytes that the bindings read and write at a time

class RowFileWriter final : public RowSink {
 public:
  RowFileWriter(std::string path, std::size_t rows, std::size_t buffer);  // holds `buffer` bytes, or one row

  void put(const Row& row) override { put(row.id, row.columns, row.totals, row.size); }
  template <class Column, class Total>
  void put(std::uint32_t row, const Column* columns, const Total* totals, std::size_t size);
  void put(const Segment& segment);  // a row as it lies in memory; it has cells
  std::uint64_t finish();            // returns the size of the file, which is not whole before

 private:
  void begin(std::uint32_t row);

  RecordWriter records_;
  std::vector<std::uint64_t> offsets_;
  std::size_t next_row_ = 0;  // offsets up to this row are known
};

class RowFile {
 public:
  RowFile(const std::string& path, std::size_t rows);  // opens it

  struct Place {
    std::uint64_t begin, end;
    std::size_t bytes() const noexcept { return static_cast<std::size_t>(end - begin); }
  };
  Place place(std::size_t first, std::size_t last) const;  // of rows [first, last)
  void read(const Place& place, std::uint8_t* out) const;
  // adds the bytes of each row, from the index; checks the index
  void add_sizes(std::vector<std::uint64_t>& sizes) const;
  std::uint64_t footer_digest() const;
  [[noreturn]] void corrupt(std::size_t row) const;

 private:
  std::uint64_t index_at(std::size_t row) const { return index_ + 8 * std::uint64_t{row}; }

  InputFile file_;
  std::size_t rows_;
  std::uint64_t index_;
};

// Walks over rows that were read from a RowFile.
class RowWalk {
 public:
  RowWalk(const std::string& path, const std::uint8_t* begin, std::size_t bytes, std::size_t columns)
      : path_(&path), at_(begin), end_(begin + bytes), columns_(columns) {}

  // If the next row is `row`, gives its cells, checked by their checksum, and moves on. The caller must ask for every
  // row of the range, in order.
  bool take(std::size_t row, Segment& segment);
  std::uint64_t sum() const noexcept { return sum_; }  // the checksum of the row taken last
  void require_done() const;                           // CorruptFile when bytes are left

 private:
  const std::string* path_;
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::size_t columns_;
  std::uint64_t sum_ = 0;
};

// Reads a whole file, about `buffer` bytes at a time, and throws CorruptFile unless it is as it was written.
void check_row_file(const std::string& path, std::size_t rows, std::size_t columns, std::size_t buffer);

}  // namespace pivotkit
