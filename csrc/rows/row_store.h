// Rows of a sparse matrix in memory: segments (row_cells.h) one behind another, in a stream of bytes that is cut into
// chunks of one size. A segment may begin in one chunk and end in another, so no chunk but the last has room to spare.
// A stream that is made from another takes over the chunks that the other has used up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/huge_array.h"
#include "rows/row_cells.h"

namespace pivotkit {

class RowStore {
 public:
  static constexpr std::size_t kChunk = std::size_t{1} << 20;
  using Chunk = HugeArray<std::uint8_t>;

  std::uint64_t size() const noexcept { return size_; }                   // of the segments
  std::size_t bytes() const noexcept { return chunks_.size() * kChunk; }  // of the chunks

 private:
  friend class RowStoreReader;
  friend class RowStoreWriter;

  std::vector<Chunk> chunks_;
  std::uint64_t size_ = 0;
};

// Reads the segments from the first to the last.
class RowStoreReader {
 public:
  explicit RowStoreReader(const RowStore& rows) : rows_(rows) {}

  bool next();                                                  // false after the last
  const Segment& segment() const noexcept { return segment_; }  // valid until the next one

  // Chunks before this one are not needed any more, neither by the segment nor by those that follow.
  std::size_t first_chunk() const noexcept { return first_chunk_; }

 private:
  const std::uint8_t* view(std::size_t bytes);

  const RowStore& rows_;
  std::uint64_t place_ = 0;
  std::size_t first_chunk_ = 0;
  Segment segment_{};
  std::vector<std::uint8_t> whole_;  // a segment that lies in more than one chunk
};

// Writes segments behind those of a store.
class RowStoreWriter {
 public:
  explicit RowStoreWriter(RowStore& rows) : rows_(rows) {}

  // Columns ascend and `size` is positive.
  template <class Column, class Total>
  void put(std::uint32_t row, const Column* columns, const Total* totals, std::size_t size);
  void put(const Segment& segment);  // as it lies in memory, behind its header

  // Takes the chunks before `end` from a store, to fill them anew. Keeps few that it has no use for yet.
  void take_over(RowStore& from, std::size_t end);
  std::size_t taken_over() const noexcept { return taken_ * RowStore::kChunk; }  // bytes
  std::size_t bytes() const noexcept { return rows_.bytes(); }                   // of the store

 private:
  std::uint8_t* room(std::size_t bytes);
  void filled(const std::uint8_t* data, std::size_t bytes);
  std::size_t left() const noexcept { return static_cast<std::size_t>(rows_.bytes() - rows_.size_); }
  void add_chunk();
  void append(const std::uint8_t* data, std::size_t bytes);

  RowStore& rows_;
  std::size_t taken_ = 0;  // chunks
  std::vector<RowStore::Chunk> spare_;
  std::vector<std::uint8_t> whole_;
};

}  // namespace pivotkit
