// Which documents contain each word, and how often: posting lists in a file, written in one pass in bounded memory.
//
// Hits come in the order of documents. They wait until there are enough of them, are sorted by word with one pass of
// counting, and are written as a run. A run has
//   lists   the list of each of its words, in ascending order of words: per document the distance from the one before
//           (the first from 0) times 2, plus 1 if the word occurs more than once; then the occurrences beyond two
//   index   per word the distance from the word before and the bytes of its list; then a checksum per block of lists.
//           A block ends behind the list that fills it to kPostingBlock bytes.
// All numbers are variable-length: 7 bits a byte, the lowest first. Behind the runs stand a table of runs and a footer.
// A file that was cut short, extended or altered is refused. A list can be read without the others of its run.
//
// (J. Zobel and A. Moffat, "Inverted files for text search engines", ACM Computing Surveys 38(2), 2006.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/file.h"

namespace pivotkit {

constexpr std::size_t kPostingBlock = std::size_t{1} << 16;
constexpr std::size_t kPostingFileBuffer = std::size_t{1} << 20;  // bytes that the bindings write at a time

// A run, as the table at the end of the file has it.
struct PostingRun {
  std::uint64_t begin;  // in the file
  std::uint64_t list_bytes, index_bytes;
  std::uint64_t hits;
  std::uint64_t first_word, last_word;
  std::uint64_t index_checksum;
};

class PostingWriter {
 public:
  // Words are below `words`. A run holds `run_hits` hits, or one document; a waiting hit takes up to 24 bytes.
  PostingWriter(std::string path, std::size_t words, std::size_t run_hits, std::size_t buffer);

  // Takes documents. words[offsets[d] .. offsets[d + 1]) are the distinct words of the document in row rows[d], and
  // counts[] their occurrences. Rows ascend over all calls. All are checked before any is taken.
  void add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts, const std::int64_t* rows,
           std::size_t documents);

  std::uint64_t finish();  // returns the size of the file, which is not whole before

 private:
  void write_run();

  OutputFile file_;
  std::size_t words_, run_hits_;
  std::int64_t next_row_ = 0;  // rows must not be lower
  std::vector<std::uint32_t> hit_words_, hit_rows_, hit_counts_;
  std::vector<std::uint32_t> ends_;           // (words + 1), while a run is sorted
  std::vector<std::uint32_t> rows_, counts_;  // the sorted hits
  std::vector<std::uint8_t> bytes_, index_;   // of a list, of a run's index
  std::vector<PostingRun> runs_;
};

// The lists of some words; words ascend, and rows within a word.
struct PostingLists {
  std::vector<std::int32_t> words, rows;
  std::vector<std::int64_t> counts;
};

class PostingFile {
 public:
  PostingFile(const std::string& path, std::size_t words);  // opens it and checks its table of runs

  // The hits of words [first, last) in a run. Reads the run's index and the blocks of these words.
  PostingLists read(std::size_t run, std::size_t first, std::size_t last) const;

  std::size_t runs() const noexcept { return runs_.size(); }
  std::uint64_t digest() const noexcept { return digest_; }  // tells the file from any other

 private:
  [[noreturn]] void corrupt(std::size_t run) const;

  InputFile file_;
  std::size_t words_;
  std::uint64_t digest_ = 0;
  std::vector<PostingRun> runs_;
};

}  // namespace pivotkit
