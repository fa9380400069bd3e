#include "rows/row_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pivotkit {
namespace {

constexpr std::size_t kMostSpare = 2;  // chunks

std::size_t chunk_of(std::uint64_t place) { return static_cast<std::size_t>(place / RowStore::kChunk); }
std::size_t within_chunk(std::uint64_t place) { return static_cast<std::size_t>(place % RowStore::kChunk); }

}  // namespace

// The next `bytes` bytes, in one piece.
const std::uint8_t* RowStoreReader::view(std::size_t bytes) {
  std::uint64_t place = place_;
  if (within_chunk(place) + bytes <= RowStore::kChunk)
    return rows_.chunks_[chunk_of(place)].data() + within_chunk(place);
  whole_.resize(std::max(whole_.size(), bytes));
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t part = std::min(bytes - done, RowStore::kChunk - within_chunk(place));
    std::memcpy(whole_.data() + done, rows_.chunks_[chunk_of(place)].data() + within_chunk(place), part);
    done += part;
    place += part;
  }
  return whole_.data();
}

bool RowStoreReader::next() {
  first_chunk_ = chunk_of(place_);
  if (place_ == rows_.size_) return false;
  const std::size_t bytes = Segment::at(view(Segment::kHeader)).bytes();
  const std::uint8_t* data = view(bytes);
  segment_ = Segment::at(data);
  place_ += bytes;
  if (data == whole_.data()) first_chunk_ = chunk_of(place_);
  return true;
}

void RowStoreWriter::add_chunk() {
  if (spare_.empty()) spare_.emplace_back(RowStore::kChunk);
  rows_.chunks_.push_back(std::move(spare_.back()));
  spare_.pop_back();
}

// Where a segment may be stored: its place, or memory of its own where its place lies in more than one chunk.
std::uint8_t* RowStoreWriter::room(std::size_t bytes) {
  if (left() == 0) add_chunk();
  if (bytes <= left()) return rows_.chunks_.back().data() + within_chunk(rows_.size_);
  whole_.resize(std::max(whole_.size(), bytes));
  return whole_.data();
}

void RowStoreWriter::filled(const std::uint8_t* data, std::size_t bytes) {
  if (data == whole_.data())
    append(data, bytes);
  else
    rows_.size_ += bytes;
}

void RowStoreWriter::append(const std::uint8_t* data, std::size_t bytes) {
  while (bytes > 0) {
    if (left() == 0) add_chunk();
    const std::size_t part = std::min(bytes, left());
    std::memcpy(rows_.chunks_.back().data() + within_chunk(rows_.size_), data, part);
    rows_.size_ += part;
    data += part;
    bytes -= part;
  }
}

template <class Column, class Total>
void RowStoreWriter::put(std::uint32_t row, const Column* columns, const Total* totals, std::size_t size) {
  const Segment segment = segment_of(row, columns, totals, size);
  std::uint8_t* out = room(segment.bytes());
  store_segment(segment, columns, totals, out);
  filled(out, segment.bytes());
}

void RowStoreWriter::put(const Segment& segment) { append(segment.data(), segment.bytes()); }

void RowStoreWriter::take_over(RowStore& from, std::size_t end) {
  for (; taken_ < end; ++taken_) {
    RowStore::Chunk& chunk = from.chunks_[taken_];
    if (spare_.size() < kMostSpare)
      spare_.push_back(std::move(chunk));
    else
      chunk.free();
  }
}

template void RowStoreWriter::put(std::uint32_t, const std::uint32_t*, const std::int64_t*, std::size_t);
template void RowStoreWriter::put(std::uint32_t, const std::int32_t*, const std::uint32_t*, std::size_t);

}  // namespace pivotkit
