#include "postings/posting_file.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "common/require.h"
#include "rows/row_cells.h"

namespace pivotkit {
namespace {

constexpr std::uint64_t kMagic = 0x31474E4954534F50ULL;  // "POSTING1"
constexpr std::size_t kMostBytes = 10;                   // of a number

struct Footer {
  std::uint64_t table_checksum, runs, words, magic;
};

std::size_t store_number(std::uint64_t value, std::uint8_t* out) {
  std::size_t size = 0;
  for (; value >= 0x80; value >>= 7) out[size++] = static_cast<std::uint8_t>(value | 0x80);
  out[size++] = static_cast<std::uint8_t>(value);
  return size;
}

void append_number(std::uint64_t value, std::vector<std::uint8_t>& out) {
  std::uint8_t bytes[kMostBytes];
  out.insert(out.end(), bytes, bytes + store_number(value, bytes));
}

// Reads numbers from bytes whose checksum is right. So a bad one means that the writer was another program.
class Numbers {
 public:
  Numbers(const std::uint8_t* at, const std::uint8_t* end) : at_(at), end_(end) {}

  bool done() const noexcept { return at_ == end_; }
  const std::uint8_t* rest() const noexcept { return at_; }
  std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  bool next(std::uint64_t& value) noexcept {
    value = 0;
    for (int shift = 0; at_ != end_ && shift < 64; shift += 7) {
      const std::uint8_t byte = *at_++;
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
};

std::uint64_t table_checksum(const std::vector<PostingRun>& runs, std::uint64_t words) {
  return checksum(reinterpret_cast<const std::uint8_t*>(runs.data()), runs.size() * sizeof(PostingRun), words);
}

}  // namespace

PostingWriter::PostingWriter(std::string path, std::size_t words, std::size_t run_hits, std::size_t buffer)
    : file_(std::move(path), buffer), words_(words), run_hits_(std::max<std::size_t>(run_hits, 1)) {
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (words == 0 || words > kMost) refuse("PostingWriter", "words", "be in [1, 2^31)", words);
}

void PostingWriter::add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts,
                        const std::int64_t* rows, std::size_t documents) {
  std::int64_t next = next_row_;
  for (std::size_t d = 0; d < documents; next = rows[d++] + 1)
    if (rows[d] < next || rows[d] > std::numeric_limits<std::int32_t>::max())
      refuse("add", "rows", text("ascend from ", next, " and stay below 2^31"), rows[d]);
  for (std::int64_t i = 0; i < offsets[documents]; ++i) {
    if (words[i] < 0 || static_cast<std::size_t>(words[i]) >= words_)
      refuse<std::out_of_range>("add", "words", text("be word ids in [0, ", words_, ")"), words[i]);
    if (counts[i] < 1) refuse("add", "counts", "be at least 1", counts[i]);
  }
  for (std::size_t d = 0; d < documents; ++d) {
    if (!hit_words_.empty() && hit_words_.size() + static_cast<std::size_t>(offsets[d + 1] - offsets[d]) > run_hits_)
      write_run();
    const auto row = static_cast<std::uint32_t>(rows[d]);
    for (std::int64_t i = offsets[d]; i < offsets[d + 1]; ++i) {
      hit_words_.push_back(static_cast<std::uint32_t>(words[i]));
      hit_rows_.push_back(row);
      hit_counts_.push_back(static_cast<std::uint32_t>(counts[i]));
    }
  }
  next_row_ = next;
}

void PostingWriter::write_run() {
  const std::size_t hits = hit_words_.size();
  ends_.assign(words_ + 1, 0);
  for (const std::uint32_t word : hit_words_) ++ends_[word + 1];
  std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
  rows_.resize(hits);
  counts_.resize(hits);
  for (std::size_t i = 0; i < hits; ++i) {
    const std::uint32_t place = ends_[hit_words_[i]]++;  // ends_[w] becomes the end of word w
    rows_[place] = hit_rows_[i];
    counts_[place] = hit_counts_[i];
  }
  PostingRun run{file_.size(), 0, 0, hits, 0, 0, 0};  // each checksum is seeded with its place: none can change places
  index_.clear();
  std::vector<std::uint64_t> checksums;
  std::vector<std::uint8_t> block;
  std::size_t begin = 0, last = 0;
  const auto end_block = [&] {
    checksums.push_back(checksum(block.data(), block.size(), run.begin + run.list_bytes));
    file_.write(block.data(), block.size());
    run.list_bytes += block.size();
    block.clear();
  };
  for (std::size_t word = 0; word < words_; ++word) {
    const std::size_t end = ends_[word];
    if (begin == end) continue;
    bytes_.resize((end - begin) * 2 * kMostBytes);
    std::size_t size = 0;
    for (std::uint32_t before = 0; begin < end; before = rows_[begin++]) {
      const std::uint32_t count = counts_[begin];
      const std::uint64_t distance = rows_[begin] - before;
      size += store_number(2 * distance + (count > 1), bytes_.data() + size);
      if (count > 1) size += store_number(count - 2, bytes_.data() + size);
    }
    block.insert(block.end(), bytes_.data(), bytes_.data() + size);
    if (index_.empty()) run.first_word = word;
    append_number(word - last, index_);
    append_number(size, index_);
    last = word;
    if (block.size() >= kPostingBlock) end_block();
  }
  if (!block.empty()) end_block();
  run.last_word = last;
  const auto* sums = reinterpret_cast<const std::uint8_t*>(checksums.data());
  index_.insert(index_.end(), sums, sums + checksums.size() * sizeof checksums[0]);
  run.index_bytes = index_.size();
  run.index_checksum = checksum(index_.data(), index_.size(), run.begin + run.list_bytes);
  file_.write(index_.data(), index_.size());
  runs_.push_back(run);
  hit_words_.clear();
  hit_rows_.clear();
  hit_counts_.clear();
}

std::uint64_t PostingWriter::finish() {
  if (!hit_words_.empty()) write_run();
  file_.write(runs_.data(), runs_.size() * sizeof(PostingRun));
  const Footer footer{table_checksum(runs_, words_), runs_.size(), words_, kMagic};
  file_.write(&footer, sizeof footer);
  file_.close();
  return file_.size();
}

PostingFile::PostingFile(const std::string& path, std::size_t words) : file_(path), words_(words) {
  const std::uint64_t size = file_.size();
  Footer footer{};
  if (size >= sizeof footer) file_.read_at(size - sizeof footer, &footer, sizeof footer);
  const std::uint64_t most = size >= sizeof footer ? (size - sizeof footer) / sizeof(PostingRun) : 0;
  bool whole = footer.magic == kMagic && footer.words == words && footer.runs <= most;
  std::uint64_t end = 0;
  if (whole) {
    runs_.resize(static_cast<std::size_t>(footer.runs));
    const std::uint64_t table = runs_.size() * sizeof(PostingRun);
    file_.read_at(size - sizeof footer - table, runs_.data(), static_cast<std::size_t>(table));
    whole = table_checksum(runs_, words) == footer.table_checksum;
    for (const PostingRun& run : runs_) {
      whole = whole && run.begin == end && run.list_bytes <= size && run.index_bytes <= size && run.hits > 0 &&
              run.first_word <= run.last_word && run.last_word < words;
      end += run.list_bytes + run.index_bytes;
    }
    whole = whole && end == size - sizeof footer - table;
  }
  if (!whole) refuse_file(path, "", text("be a whole file of the postings of ", words, " words"), "another");
  digest_ = footer.table_checksum;
}

PostingLists PostingFile::read(std::size_t run_number, std::size_t first, std::size_t last) const {
  if (run_number >= runs_.size())
    refuse<std::out_of_range>("read", "run", text("be in [0, ", runs_.size(), ")"), run_number);
  const PostingRun& run = runs_[run_number];
  PostingLists found;
  if (run.last_word < first || run.first_word >= last) return found;
  std::vector<std::uint8_t> index(static_cast<std::size_t>(run.index_bytes));
  const std::uint64_t lists_end = run.begin + run.list_bytes;
  file_.read_at(lists_end, index.data(), index.size());
  if (checksum(index.data(), index.size(), lists_end) != run.index_checksum) corrupt(run_number);

  // Where the lists of the wanted words are, and where each block ends.
  struct List {
    std::uint64_t word, begin, end;
  };
  std::vector<List> wanted;
  std::vector<std::uint64_t> block_ends;
  Numbers numbers(index.data(), index.data() + index.size());
  std::uint64_t word = 0, at = 0, step = 0, size = 0;
  while (at < run.list_bytes) {
    if (!numbers.next(step) || !numbers.next(size) || size == 0 || size > run.list_bytes - at) corrupt(run_number);
    word += step;
    if (word >= words_) corrupt(run_number);
    if (word >= first && word < last) wanted.push_back({word, at, at + size});
    at += size;
    if (at == run.list_bytes || at - (block_ends.empty() ? 0 : block_ends.back()) >= kPostingBlock)
      block_ends.push_back(at);
  }
  const std::uint8_t* sums = numbers.rest();
  if (numbers.left() != 8 * block_ends.size()) corrupt(run_number);
  if (wanted.empty()) return found;

  const auto first_block = std::upper_bound(block_ends.begin(), block_ends.end(), wanted.front().begin);
  const auto last_block = std::lower_bound(block_ends.begin(), block_ends.end(), wanted.back().end);
  const std::uint64_t from = first_block == block_ends.begin() ? 0 : *(first_block - 1);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(*last_block - from));
  file_.read_at(run.begin + from, bytes.data(), bytes.size());
  std::uint64_t begin = from;
  for (auto block = first_block; block <= last_block; begin = *block++) {
    std::uint64_t sum = 0;
    std::memcpy(&sum, sums + 8 * (block - block_ends.begin()), sizeof sum);
    const auto block_bytes = static_cast<std::size_t>(*block - begin);
    if (checksum(bytes.data() + (begin - from), block_bytes, run.begin + begin) != sum) corrupt(run_number);
  }
  if (wanted.front().begin == 0 && wanted.back().end == run.list_bytes) {
    found.words.reserve(static_cast<std::size_t>(run.hits));
    found.rows.reserve(static_cast<std::size_t>(run.hits));
    found.counts.reserve(static_cast<std::size_t>(run.hits));
  }
  for (const List& list : wanted) {
    Numbers hits(bytes.data() + (list.begin - from), bytes.data() + (list.end - from));
    std::uint64_t row = 0, value = 0, more = 0;
    while (!hits.done()) {
      if (!hits.next(value) || (value % 2 == 1 && !hits.next(more))) corrupt(run_number);
      row += value / 2;
      if (row > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) corrupt(run_number);
      found.words.push_back(static_cast<std::int32_t>(list.word));
      found.rows.push_back(static_cast<std::int32_t>(row));
      found.counts.push_back(value % 2 == 1 ? static_cast<std::int64_t>(more) + 2 : 1);
    }
  }
  return found;
}

void PostingFile::corrupt(std::size_t run) const {
  refuse_file(file_.path(), text("run ", run), "be as it was written", "another checksum");
}

}  // namespace pivotkit
