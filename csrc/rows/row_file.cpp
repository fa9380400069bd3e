#include "rows/row_file.h"

#include <algorithm>
#include <utility>

namespace pivotkit {
namespace {

// the digest of the records, the index's checksum seeded with it, the number of rows
constexpr std::size_t kFooter = 24;
constexpr std::size_t kIndexPart = 8192;  // entries of an index that are read at once

[[noreturn]] void refuse_row(const std::string& path, std::size_t row) {
  refuse_file(path, "row " + std::to_string(row), "be as it was written", "another checksum");
}

std::uint64_t index_checksum(const std::vector<std::uint64_t>& part, std::size_t size, std::uint64_t seed) {
  return checksum(reinterpret_cast<const std::uint8_t*>(part.data()), size * sizeof part[0], seed);
}

}  // namespace

RowFileWriter::RowFileWriter(std::string path, std::size_t rows, std::size_t buffer)
    : records_(std::move(path), buffer), offsets_(rows + 1) {}

void RowFileWriter::begin(std::uint32_t row) {
  while (next_row_ < row) offsets_[++next_row_] = records_.size();
}

template <class Column, class Total>
void RowFileWriter::put(std::uint32_t row, const Column* columns, const Total* totals, std::size_t size) {
  if (size == 0) return;
  begin(row);
  records_.put(row, columns, totals, size);
}

void RowFileWriter::put(const Segment& segment) {
  begin(segment.row);
  records_.put(segment);
}

std::uint64_t RowFileWriter::finish() {
  while (next_row_ + 1 < offsets_.size()) offsets_[++next_row_] = records_.size();
  std::uint64_t sum = records_.digest();
  std::vector<std::uint64_t> part;
  for (std::size_t i = 0; i < offsets_.size(); i += part.size()) {
    const auto begin = offsets_.begin() + static_cast<std::ptrdiff_t>(i);
    part.assign(begin, begin + static_cast<std::ptrdiff_t>(std::min(kIndexPart, offsets_.size() - i)));
    sum = index_checksum(part, part.size(), sum);
  }
  records_.write(offsets_.data(), offsets_.size() * sizeof offsets_[0]);
  const std::uint64_t footer[3] = {records_.digest(), sum, offsets_.size() - 1};
  records_.write(footer, sizeof footer);
  records_.close();
  return records_.size();
}

RowFile::RowFile(const std::string& path, std::size_t rows) : file_(path), rows_(rows), index_(0) {
  const std::uint64_t size = file_.size(), least = kFooter + 8 * (std::uint64_t{rows} + 1);
  std::uint64_t found = 0, end = 0;
  if (size >= least) {
    index_ = size - least;
    file_.read_at(size - sizeof found, &found, sizeof found);
    file_.read_at(index_at(rows), &end, sizeof end);
  }
  if (size < least || found != rows || end != index_)
    refuse_file(path, "", "be a whole file of " + std::to_string(rows) + " rows", "another");
}

RowFile::Place RowFile::place(std::size_t first, std::size_t last) const {
  Place place{};
  file_.read_at(index_at(first), &place.begin, sizeof place.begin);
  file_.read_at(index_at(last), &place.end, sizeof place.end);
  if (place.begin > place.end || place.end > index_) corrupt(first);
  return place;
}

void RowFile::read(const Place& place, std::uint8_t* out) const { file_.read_at(place.begin, out, place.bytes()); }

void RowFile::add_sizes(std::vector<std::uint64_t>& sizes) const {
  std::uint64_t sum = footer_digest(), before = 0, written = 0;
  std::vector<std::uint64_t> part(kIndexPart);
  for (std::size_t i = 0; i <= rows_; i += kIndexPart) {
    const std::size_t size = std::min(kIndexPart, rows_ + 1 - i);
    file_.read_at(index_at(i), part.data(), size * sizeof part[0]);
    sum = index_checksum(part, size, sum);
    for (std::size_t j = 0; j < size; before = part[j++]) {
      if (i + j == 0) continue;
      if (part[j] < before) corrupt(i + j - 1);
      sizes[i + j - 1] += part[j] - before;
    }
  }
  file_.read_at(index_at(rows_ + 2), &written, sizeof written);
  if (sum != written) corrupt(0);
}

std::uint64_t RowFile::footer_digest() const {
  std::uint64_t digest = 0;
  file_.read_at(index_at(rows_ + 1), &digest, sizeof digest);
  return digest;
}

void RowFile::corrupt(std::size_t row) const { refuse_row(file_.path(), row); }

bool RowWalk::take(std::size_t row, Segment& segment) {
  if (at_ == end_) return false;
  const auto left = static_cast<std::size_t>(end_ - at_);
  if (left < kLeastRecord) refuse_row(*path_, row);
  segment = Segment::at(at_);
  if (segment.row > row) return false;
  if (segment.row < row || !is_whole_record(segment, at_, left, sum_) || segment.last_column() >= columns_)
    refuse_row(*path_, row);
  at_ += record_bytes(segment);
  return true;
}

void RowWalk::require_done() const {
  if (at_ != end_) refuse_row(*path_, Segment::at(at_).row);
}

void check_row_file(const std::string& path, std::size_t rows, std::size_t columns, std::size_t buffer) {
  const RowFile file(path, rows);
  std::vector<std::uint64_t> sizes(rows);
  file.add_sizes(sizes);
  std::vector<std::uint8_t> bytes;
  std::uint64_t digest = 0;
  Segment segment;
  for (std::size_t first = 0, last = 0; first < rows; first = last) {
    std::uint64_t size = 0;
    while (last < rows && (last == first || size + sizes[last] <= buffer)) size += sizes[last++];
    bytes.resize(static_cast<std::size_t>(size));
    const RowFile::Place place = file.place(first, last);
    if (place.bytes() != bytes.size()) file.corrupt(first);
    file.read(place, bytes.data());
    RowWalk walk(path, bytes.data(), bytes.size(), columns);
    for (std::size_t row = first; row < last; ++row) {
      if (!walk.take(row, segment)) continue;
      digest = extended_digest(digest, walk.sum());
    }
    walk.require_done();
  }
  if (digest != file.footer_digest()) file.corrupt(0);
}

template void RowFileWriter::put(std::uint32_t, const std::uint32_t*, const std::int64_t*, std::size_t);
template void RowFileWriter::put(std::uint32_t, const std::int32_t*, const std::uint32_t*, std::size_t);

}  // namespace pivotkit
