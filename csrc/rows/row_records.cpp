#include "rows/row_records.h"

#include <algorithm>
#include <cstring>

namespace pivotkit {

bool is_whole_record(const Segment& segment, const std::uint8_t* at, std::size_t left, std::uint64_t& sum) {
  if (segment.size == 0 || left < kLeastRecord || segment.bytes() > left - kRecordChecksum) return false;
  std::memcpy(&sum, at + segment.bytes(), sizeof sum);
  return checksum(at, segment.bytes(), segment.row) == sum;
}

std::uint64_t extended_digest(std::uint64_t digest, std::uint64_t sum) {
  return checksum(reinterpret_cast<const std::uint8_t*>(&sum), sizeof sum, digest);
}

// store(out) writes the segment's bytes at `out`.
template <class Store>
void RecordWriter::append(const Segment& segment, Store&& store) {
  const std::size_t bytes = record_bytes(segment);
  std::uint8_t* out = file_.room(bytes);
  const bool in_place = out != nullptr;
  if (!in_place) {
    large_.resize(bytes);
    out = large_.data();
  }
  store(out);
  const std::uint64_t sum = checksum(out, segment.bytes(), segment.row);
  std::memcpy(out + segment.bytes(), &sum, sizeof sum);
  digest_ = extended_digest(digest_, sum);
  if (in_place)
    file_.filled(bytes);
  else
    file_.write(out, bytes);
}

template <class Column, class Total>
void RecordWriter::put(std::uint32_t row, const Column* columns, const Total* totals, std::size_t size) {
  const Segment segment = segment_of(row, columns, totals, size);
  append(segment, [&](std::uint8_t* out) { store_segment(segment, columns, totals, out); });
}

void RecordWriter::put(const Segment& segment) {
  append(segment, [&](std::uint8_t* out) { std::memcpy(out, segment.data(), segment.bytes()); });
}

RecordReader::RecordReader(const std::string& path, std::uint64_t size, std::uint64_t digest, std::size_t buffer)
    : file_(path), left_(size), written_(digest), buffer_(buffer) {
  const std::uint64_t found = file_.size();
  if (found != size) corrupt("hold the " + std::to_string(size) + " bytes that were written", std::to_string(found));
}

void RecordReader::corrupt(const std::string& rule, const std::string& got) const {
  refuse_file(file_.path(), "byte " + std::to_string(place_), rule, got);
}

// Whether `bytes` bytes from `at_` on are in the buffer, after reading on where they were not.
bool RecordReader::load(std::size_t bytes) {
  if (end_ - at_ >= bytes) return true;
  if (bytes > buffer_.size()) return false;
  std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(at_), buffer_.begin() + static_cast<std::ptrdiff_t>(end_),
            buffer_.begin());
  end_ -= at_;
  at_ = 0;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer_.size() - end_));
  if (file_.read(buffer_.data() + end_, size) != size) corrupt("hold more bytes", "the end of the file");
  end_ += size;
  left_ -= size;
  return end_ >= bytes;
}

bool RecordReader::next() {
  if (at_ == end_ && left_ == 0) {
    if (digest_ != written_) corrupt("hold the rows that were written", "others");
    return false;
  }
  if (!load(kLeastRecord)) corrupt("hold a whole row", "a part of one");
  segment_ = Segment::at(buffer_.data() + at_);
  const std::size_t bytes = record_bytes(segment_);
  if (!load(bytes)) corrupt("hold a whole row", "a part of one");
  const std::uint8_t* at = buffer_.data() + at_;
  segment_ = Segment::at(at);  // loading may have moved it
  std::uint64_t sum = 0;
  if (!is_whole_record(segment_, at, bytes, sum)) corrupt("hold a row as it was written", "another checksum");
  digest_ = extended_digest(digest_, sum);
  at_ += bytes;
  place_ += bytes;
  return true;
}

template void RecordWriter::put(std::uint32_t, const std::uint32_t*, const std::int64_t*, std::size_t);
template void RecordWriter::put(std::uint32_t, const std::int32_t*, const std::uint32_t*, std::size_t);

}  // namespace pivotkit
