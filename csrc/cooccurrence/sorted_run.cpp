#include "cooccurrence/sorted_run.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pivotkit {
namespace {

struct FrameHeader {
  std::uint64_t length, checksum;
};

struct SegmentHeader {
  std::uint32_t row, size;
  std::uint8_t column_bytes, total_bytes;
  std::uint16_t unused;
};

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
  std::memcpy(&rest, data + i, size - i);
  step(rest);
  return sum;
}

// `size` values narrowed to Stored at `out`, which need not be aligned.
template <class Stored, class Value>
std::uint8_t* store(const Value* values, std::size_t size, std::uint8_t* out) {
  for (std::size_t i = 0; i < size; ++i) {
    const auto stored = static_cast<Stored>(values[i]);
    std::memcpy(out + i * sizeof(Stored), &stored, sizeof(Stored));
  }
  return out + size * sizeof(Stored);
}

}  // namespace

RunWriter::RunWriter(std::string path, std::size_t frame)
    : run_{std::move(path), 0, 0}, file_(run_.path, 0), payload_(sizeof(FrameHeader) + std::max(frame, kLeastFrame)),
      used_(sizeof(FrameHeader)) {}

void RunWriter::put(const Row& row) {
  // At most so many cells that a segment of the widest kind fills a frame.
  const std::size_t most = (payload_.size() - sizeof(FrameHeader) - sizeof(SegmentHeader)) / 12;
  for (std::size_t begin = 0; begin < row.size; begin += most)
    segment(row.id, row.columns + begin, row.totals + begin, std::min(most, row.size - begin));
  run_.cells += row.size;
}

void RunWriter::segment(std::uint32_t row, const std::uint32_t* columns, const std::int64_t* totals, std::size_t size) {
  std::uint64_t all = 0;  // the highest bit of any total
  for (std::size_t i = 0; i < size; ++i) all |= static_cast<std::uint64_t>(totals[i]);
  const SegmentHeader header{row, static_cast<std::uint32_t>(size),
                             static_cast<std::uint8_t>(columns[size - 1] >> 16 == 0 ? 2 : 4),
                             static_cast<std::uint8_t>(all >> 16 == 0 ? 2 : all >> 32 == 0 ? 4 : 8), 0};
  const std::size_t bytes = sizeof header + size * (header.column_bytes + std::size_t{header.total_bytes});
  if (bytes > payload_.size() - used_) flush();
  std::uint8_t* out = payload_.data() + used_;
  std::memcpy(out, &header, sizeof header);
  out += sizeof header;
  out = header.column_bytes == 2 ? store<std::uint16_t>(columns, size, out) : store<std::uint32_t>(columns, size, out);
  if (header.total_bytes == 2)
    store<std::uint16_t>(totals, size, out);
  else if (header.total_bytes == 4)
    store<std::uint32_t>(totals, size, out);
  else
    store<std::uint64_t>(totals, size, out);
  used_ += bytes;
}

void RunWriter::flush() {
  const std::size_t length = used_ - sizeof(FrameHeader);
  if (length == 0) return;
  const FrameHeader header{length, checksum(payload_.data() + sizeof(FrameHeader), length, frames_++)};
  std::memcpy(payload_.data(), &header, sizeof header);
  file_.write(payload_.data(), used_);
  used_ = sizeof(FrameHeader);
}

SortedRun RunWriter::finish() {
  flush();
  file_.close();
  run_.bytes = file_.size();
  return run_;
}

RunReader::RunReader(const SortedRun& run, std::size_t frame)
    : file_(run.path), bytes_(run.bytes), payload_(std::max(frame, kLeastFrame)) {
  if (file_.size() != bytes_)
    corrupt("must hold the " + std::to_string(bytes_) + " bytes that were written; got " + std::to_string(file_.size()));
}

void RunReader::corrupt(const std::string& problem) const {
  throw CorruptFile(file_.path(), "byte " + std::to_string(read_), problem);
}

bool RunReader::fill() {
  if (read_ == bytes_) return false;
  FrameHeader header{};
  if (file_.read(&header, sizeof header) != sizeof header) corrupt("must hold a whole frame; got a part of one");
  if (header.length > payload_.size()) corrupt("must hold a frame as it was written; got another length");
  end_ = static_cast<std::size_t>(header.length);
  if (file_.read(payload_.data(), end_) != end_) corrupt("must hold a whole frame; got a part of one");
  if (checksum(payload_.data(), end_, frames_++) != header.checksum)
    corrupt("must hold a frame as it was written; got another checksum");
  read_ += sizeof header + end_;
  at_ = 0;
  return true;
}

bool RunReader::next() {
  if (at_ == end_ && !fill()) return false;
  SegmentHeader header;
  std::memcpy(&header, payload_.data() + at_, sizeof header);
  segment_ = {header.row, header.size, header.column_bytes, header.total_bytes, nullptr, nullptr};
  segment_.columns = payload_.data() + at_ + sizeof header;
  segment_.totals = segment_.columns + std::size_t{header.size} * header.column_bytes;
  at_ += sizeof header + std::size_t{header.size} * (header.column_bytes + std::size_t{header.total_bytes});
  return true;
}

}  // namespace pivotkit
