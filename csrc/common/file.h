// Files that are written and read in large pieces. Every failure is an error that names the file. The caller sets the
// size of each buffer, so it knows beforehand what a writer or a reader holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace pivotkit {

// The system refused an operation. Python sees OSError with the errno and the file name.
struct FileError : std::runtime_error {
  FileError(int code, const std::string& path);
  int code;
  std::string path;
};

// A file does not hold what was written into it. Python sees pivotkit.errors.CorpusError.
struct CorruptFile : std::runtime_error {
  CorruptFile(const std::string& path, const std::string& place, const std::string& problem);
  std::string path, place, problem;
};

[[noreturn, gnu::cold]] void refuse_file(const std::string& path, const std::string& place, const std::string& rule,
                                         const std::string& got);

class OutputFile {
 public:
  OutputFile(std::string path, std::size_t buffer);  // a new file, or an old one emptied
  ~OutputFile();                                     // closes; loses what was not flushed
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, std::size_t size);
  // Gives the place where the next `size` bytes may be put, or null where they exceed the buffer. Call filled(size)
  // once they are there.
  std::uint8_t* room(std::size_t size);
  void filled(std::size_t size) noexcept {
    used_ += size;
    size_ += size;
  }
  void write_at(std::uint64_t place, const void* data, std::size_t size);  // replaces bytes that were written before
  void close();                                                            // flushes
  std::uint64_t size() const noexcept { return size_; }
  double seconds() const noexcept { return seconds_; }  // spent in the system's writes

 private:
  void put(const std::uint8_t* data, std::size_t size);

  std::string path_;
  int descriptor_;
  std::vector<std::uint8_t> buffer_;
  std::size_t used_ = 0;
  std::uint64_t size_ = 0;
  double seconds_ = 0;
};

class InputFile {
 public:
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::uint64_t size() const;
  std::size_t read(void* data, std::size_t size);  // gives fewer bytes only at the end of the file
  void read_at(std::uint64_t place, void* data, std::size_t size) const;  // CorruptFile where the file ends too early
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  int descriptor_;
};

}  // namespace pivotkit
