#include "token_graph/sorted_run.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pivotkit {
namespace {

struct FrameHeader {
  std::uint64_t length, checksum;
};

}  // namespace

RunWriter::RunWriter(std::string path, std::size_t frame)
    : run_{std::move(path), 0, 0}, file_(run_.path, 0), payload_(sizeof(FrameHeader) + std::max(frame, kLeastFrame)),
      used_(sizeof(FrameHeader)) {}

void RunWriter::put(const Row& row) {
  // At most so many cells that a segment of the widest kind fills a frame.
  const std::size_t most = (payload_.size() - sizeof(FrameHeader) - Segment::kHeader) / Segment::kWidestCell;
  for (std::size_t begin = 0; begin < row.size; begin += most)
    segment(row.id, row.columns + begin, row.totals + begin, std::min(most, row.size - begin));
  run_.cells += row.size;
}

void RunWriter::segment(std::uint32_t row, const std::uint32_t* columns, const std::int64_t* totals, std::size_t size) {
  const Segment segment = segment_of(row, columns, totals, size);
  if (segment.bytes() > payload_.size() - used_) flush();
  store_segment(segment, columns, totals, payload_.data() + used_);
  used_ += segment.bytes();
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
  segment_ = Segment::at(payload_.data() + at_);
  at_ += segment_.bytes();
  return true;
}

}  // namespace pivotkit
