// A large array whose pages the system hands out as they are touched, in huge pages where it can: an index into hundreds of
// megabytes then misses the page table far less often.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace pivotkit {

template <class T>
class Pages {
 public:
  explicit Pages(std::size_t size) : bytes_(size * sizeof(T)) {
    if (bytes_ == 0) return;
    void* data = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<T*>(data);
#ifdef MADV_HUGEPAGE
    ::madvise(data, bytes_, MADV_HUGEPAGE);  // advice alone: a refusal changes nothing but speed
#endif
  }
  ~Pages() { free(); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  void free() noexcept {
    if (data_ != nullptr) ::munmap(data_, bytes_);
    data_ = nullptr;
  }

  T* data() noexcept { return data_; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }

 private:
  std::size_t bytes_;
  T* data_ = nullptr;
};

}  // namespace pivotkit
