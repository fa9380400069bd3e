#include "common/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace pivotkit {
namespace {

// Throws with the reason that errno gives.
[[noreturn]] void fail(const std::string& path) { throw FileError(errno, path); }

// A write of 0 bytes has no errno: the file is full.
[[noreturn]] void fail_write(ssize_t done, const std::string& path) {
  throw FileError(done < 0 ? errno : ENOSPC, path);
}

int open_file(const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(path);
  return descriptor;
}

}  // namespace

FileError::FileError(int code_, const std::string& path_)
    : std::runtime_error(path_ + ": " + std::strerror(code_)), code(code_), path(path_) {}

CorruptFile::CorruptFile(const std::string& path_, const std::string& place_, const std::string& problem_)
    : std::runtime_error(path_ + ", " + place_ + ": " + problem_), path(path_), place(place_), problem(problem_) {}

void refuse_file(const std::string& path, const std::string& place, const std::string& rule, const std::string& got) {
  throw CorruptFile(path, place, "must " + rule + "; got " + got);
}

OutputFile::OutputFile(std::string path, std::size_t buffer)
    : path_(std::move(path)), descriptor_(open_file(path_, O_WRONLY | O_CREAT | O_TRUNC)), buffer_(buffer) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::put(const std::uint8_t* data, std::size_t size) {
  const auto begin = std::chrono::steady_clock::now();
  while (size > 0) {
    const ssize_t done = ::write(descriptor_, data, size);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail_write(done, path_);
    data += done;
    size -= static_cast<std::size_t>(done);
  }
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void OutputFile::write(const void* data, std::size_t size) {
  if (size == 0) return;
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  size_ += size;
  if (size > buffer_.size() - used_) {
    put(buffer_.data(), used_);
    used_ = 0;
    if (size >= buffer_.size()) return put(bytes, size);
  }
  std::memcpy(buffer_.data() + used_, bytes, size);
  used_ += size;
}

std::uint8_t* OutputFile::room(std::size_t size) {
  if (size > buffer_.size()) return nullptr;
  if (size > buffer_.size() - used_) {
    put(buffer_.data(), used_);
    used_ = 0;
  }
  return buffer_.data() + used_;
}

void OutputFile::write_at(std::uint64_t place, const void* data, std::size_t size) {
  put(buffer_.data(), used_);
  used_ = 0;
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  while (size > 0) {
    const ssize_t done = ::pwrite(descriptor_, bytes, size, static_cast<off_t>(place));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail_write(done, path_);
    bytes += done;
    size -= static_cast<std::size_t>(done);
    place += static_cast<std::uint64_t>(done);
  }
}

void OutputFile::close() {
  put(buffer_.data(), used_);
  used_ = 0;
  const int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0) fail(path_);
}

InputFile::InputFile(std::string path) : path_(std::move(path)), descriptor_(open_file(path_, O_RDONLY)) {}

InputFile::~InputFile() { ::close(descriptor_); }

std::uint64_t InputFile::size() const {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) fail(path_);
  return static_cast<std::uint64_t>(status.st_size);
}

std::size_t InputFile::read(void* data, std::size_t size) {
  auto* bytes = static_cast<std::uint8_t*>(data);
  std::size_t total = 0;
  while (total < size) {
    const ssize_t done = ::read(descriptor_, bytes + total, size - total);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail(path_);
    if (done == 0) break;
    total += static_cast<std::size_t>(done);
  }
  return total;
}

void InputFile::read_at(std::uint64_t place, void* data, std::size_t size) const {
  auto* bytes = static_cast<std::uint8_t*>(data);
  while (size > 0) {
    const ssize_t done = ::pread(descriptor_, bytes, size, static_cast<off_t>(place));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail(path_);
    if (done == 0) refuse_file(path_, "byte " + std::to_string(place), "hold more bytes", "the end of the file");
    bytes += done;
    size -= static_cast<std::size_t>(done);
    place += static_cast<std::uint64_t>(done);
  }
}

}  // namespace pivotkit
