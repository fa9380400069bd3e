// The container of sparse rows on disk: records one behind another, each a segment of cells (row_cells.h) and its
// checksum, seeded with the row. A digest of all records' checksums says whether two files hold the same records in the
// same order.
//
// Row files (row_file.h) keep a row in one record and add an index, so that any range of rows can be read. Sorted runs
// (token_graph/sorted_run.h) split a long row into several records, so that a reader needs no more memory than one
// buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/file.h"
#include "rows/row_cells.h"

namespace pivotkit {

constexpr std::size_t kRecordChecksum = 8;  // bytes behind the segment
constexpr std::size_t kLeastRecord = Segment::kHeader + kRecordChecksum;

// Bytes of a segment's record.
inline std::size_t record_bytes(const Segment& segment) noexcept { return segment.bytes() + kRecordChecksum; }

// Whether `left` bytes from `at` on begin with the whole record of `segment`, as it was written; gives its checksum.
bool is_whole_record(const Segment& segment, const std::uint8_t* at, std::size_t left, std::uint64_t& sum);

// The digest once a record of checksum `sum` has followed those of `digest`; that of no records is 0.
std::uint64_t extended_digest(std::uint64_t digest, std::uint64_t sum);

class RecordWriter {
 public:
  RecordWriter(std::string path, std::size_t buffer) : file_(std::move(path), buffer) {}

  // Columns ascend and `size` is positive. A record larger than the buffer takes memory of its own.
  template <class Column, class Total>
  void put(std::uint32_t row, const Column* columns, const Total* totals, std::size_t size);
  void put(const Segment& segment);  // as it lies in memory, behind its header

  // What follows the records.
  void write(const void* data, std::size_t size) { file_.write(data, size); }
  void close() { file_.close(); }

  std::uint64_t digest() const noexcept { return digest_; }
  std::uint64_t size() const noexcept { return file_.size(); }
  double seconds() const noexcept { return file_.seconds(); }

 private:
  template <class Store>
  void append(const Segment& segment, Store&& store);

  OutputFile file_;
  std::vector<std::uint8_t> large_;  // a record that the buffer has no room for
  std::uint64_t digest_ = 0;
};

// Reads records from the first to the last through one buffer.
class RecordReader {
 public:
  // `size` and `digest` are what the writer said; a record must fit `buffer` bytes.
  RecordReader(const std::string& path, std::uint64_t size, std::uint64_t digest, std::size_t buffer);

  bool next();  // false after the last record
  const Segment& segment() const noexcept { return segment_; }

 private:
  [[noreturn]] void corrupt(const std::string& rule, const std::string& got) const;
  bool load(std::size_t bytes);

  InputFile file_;
  std::uint64_t left_;       // bytes of the file that are not in the buffer yet
  std::uint64_t place_ = 0;  // of the next record
  std::uint64_t written_, digest_ = 0;
  std::vector<std::uint8_t> buffer_;
  std::size_t at_ = 0, end_ = 0;
  Segment segment_{};
};

}  // namespace pivotkit
