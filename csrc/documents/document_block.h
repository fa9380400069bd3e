// Documents taken from files: their texts back to back with offsets, and their ids, languages and rows.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace pivotkit {

struct Memory {
  std::unique_ptr<std::uint8_t[]> bytes;
  std::size_t size = 0;
};

// Memory that was handed out and came back. The system clears each page before it gives it, which takes a sixth of the
// time of reading. A reader of many blocks thus keeps using two.
class Shelf {
 public:
  Memory get(std::size_t size) {
    {
      const std::lock_guard<std::mutex> guard(mutex_);
      for (Memory& kept : kept_)
        if (kept.size >= size) return std::exchange(kept, {});
    }
    return {std::unique_ptr<std::uint8_t[]>(new std::uint8_t[size]), size};
  }
  void put(Memory memory) noexcept {  // in place of the smallest
    const std::lock_guard<std::mutex> guard(mutex_);
    Memory& kept = kept_[kept_[0].size <= kept_[1].size ? 0 : 1];
    if (memory.size > kept.size) std::swap(kept, memory);
  }

 private:
  std::mutex mutex_;
  std::array<Memory, 2> kept_;
};

// Bytes that grow without being cleared first. The writer reserves room once for all that a call can bring.
class ByteBuffer {
 public:
  // `expected` is about what the buffer will hold in the end. The buffer gets that much when it first grows.
  explicit ByteBuffer(std::size_t expected = 0) : before_(expected) {}

  // Room for `extra` more bytes; afterwards `end()` may be written that far.
  void reserve(std::size_t extra) {
    if (extra > SIZE_MAX / 2 - size_) throw std::bad_alloc();
    if (size_ + extra <= memory_.size) return;
    Memory larger = shelf_->get(std::max({size_ + extra, 2 * memory_.size, before_}));
    if (size_ > 0) std::memcpy(larger.bytes.get(), memory_.bytes.get(), size_);
    memory_ = std::move(larger);
  }
  std::size_t size() const noexcept { return size_; }
  std::uint8_t* end() noexcept { return memory_.bytes.get() + size_; }
  void resize(std::size_t size) noexcept { size_ = size; }  // at most what was reserved

  // Hands over the bytes. The next reservation is as large, because the next block will be.
  Memory take() noexcept {
    before_ = memory_.size;
    size_ = 0;
    return std::exchange(memory_, {});
  }
  // Where what was taken may come back to.
  const std::shared_ptr<Shelf>& shelf() const noexcept { return shelf_; }

 private:
  std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
  Memory memory_;
  std::size_t size_ = 0, before_;
};

// Strings of which some may be absent: Arrow's layout, `valid` with one bit each, the lowest first.
struct OptionalStrings {
  ByteBuffer data;
  std::vector<std::int64_t> offsets{0};
  std::vector<std::uint8_t> valid;
  std::size_t absent = 0;

  void close(bool present) {  // the bytes since the last offset are the next string
    const std::size_t place = offsets.size() - 1;
    if (place % 8 == 0) valid.push_back(0);
    if (present) valid.back() = static_cast<std::uint8_t>(valid.back() | 1u << place % 8);
    absent += !present;
    offsets.push_back(static_cast<std::int64_t>(data.size()));
  }
};

struct DocumentBlock {
  explicit DocumentBlock(std::size_t expected = 0) : text(expected) {}  // bytes of text

  ByteBuffer text;
  std::vector<std::int64_t> offsets{0};  // (documents + 1)
  std::vector<std::int64_t> rows;        // (documents): the line of each, from 0 of the first line ever read
  OptionalStrings ids, langs;
  std::int64_t next_row = 0;

  std::size_t size() const noexcept { return rows.size(); }
  std::size_t bytes() const noexcept { return text.size() + ids.data.size() + langs.data.size() + 32 * rows.size(); }
  // The bytes at the ends of the three buffers are one more document, the next line.
  void close(bool has_id, bool has_lang) {
    offsets.push_back(static_cast<std::int64_t>(text.size()));
    rows.push_back(next_row++);
    ids.close(has_id);
    langs.close(has_lang);
  }
};

}  // namespace pivotkit
