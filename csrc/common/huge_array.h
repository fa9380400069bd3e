// A fixed number of plain values in memory that the system may back with huge pages. An index into hundreds of
// megabytes then misses the page table far less often. An array of 2 MiB or more begins at a multiple of 2 MiB for that
// reason.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace pivotkit {

template <class T>
class HugeArray {
  static_assert(std::is_trivially_copyable<T>::value && std::is_trivially_destructible<T>::value, "plain values only");

 public:
  // All bytes zero. A page takes memory once it is touched.
  explicit HugeArray(std::size_t size) : size_(size) {
    if (size > kMostBytes / sizeof(T)) throw std::bad_alloc();
    map(size * sizeof(T));
  }
  // Copies of `value`. The last huge page is a whole one.
  HugeArray(std::size_t size, const T& value) : size_(size) {
    if (size > kMostBytes / sizeof(T)) throw std::bad_alloc();
    const std::size_t bytes = size * sizeof(T);
    map(bytes < kHugePage ? bytes : (bytes + kHugePage - 1) / kHugePage * kHugePage);
    std::fill_n(data_, size, value);
  }
  ~HugeArray() { free(); }
  HugeArray(HugeArray&& other) noexcept { swap(other); }
  HugeArray& operator=(HugeArray&& other) noexcept {
    swap(other);
    return *this;
  }

  // Gives the memory back; the values are gone.
  void free() noexcept {
    if (mapped_ != nullptr) ::munmap(mapped_, mapped_bytes_);
    mapped_ = nullptr;
    data_ = nullptr;
  }

  std::size_t size() const noexcept { return size_; }
  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  static constexpr std::size_t kMostBytes = static_cast<std::size_t>(-1) / 2;

  void map(std::size_t bytes) {
    if (bytes == 0) return;
    const std::size_t spare = bytes < kHugePage ? 0 : kHugePage;  // to align within; never touched
    void* mapped = ::mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    mapped_ = mapped;
    mapped_bytes_ = bytes + spare;
    auto* begin = static_cast<char*>(mapped);
    if (spare != 0) begin += (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
    data_ = reinterpret_cast<T*>(begin);
#ifdef MADV_HUGEPAGE
    ::madvise(begin, bytes, MADV_HUGEPAGE);  // advice: a refusal changes nothing but speed
#endif
  }

  void swap(HugeArray& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(data_, other.data_);
    std::swap(mapped_, other.mapped_);
    std::swap(mapped_bytes_, other.mapped_bytes_);
  }

  std::size_t size_ = 0;
  T* data_ = nullptr;
  void* mapped_ = nullptr;
  std::size_t mapped_bytes_ = 0;
};

}  // namespace pivotkit
