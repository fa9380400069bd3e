// The counting design that GloVe published (`cooccur`; J. Pennington, R. Socher, C. Manning, EMNLP 2014), written anew as the
// baseline of bench_token_graph.py: one thread, token ids instead of text, documents instead of lines.
//
// Ids are ranks of frequency, 1 the most frequent. Each token looks back over a window; a pair at distance d adds 1 / d for
// (a, b) and for (b, a). Where the product of both ranks is below `max_product` the sum is a cell of a table of doubles whose
// row for rank a has max_product / a cells. Any other pair is a record of 16 bytes in a buffer; a buffer that is full is
// sorted by qsort, records of one pair are added up, and it goes to a file. At the end the table goes to a file too, and all
// files are merged at once through a heap of their next records.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

struct Record {
  std::int32_t row, column;
  double value;
};

bool same(const Record& a, const Record& b) { return a.row == b.row && a.column == b.column; }

int compare(const void* left, const void* right) {
  const auto* a = static_cast<const Record*>(left);
  const auto* b = static_cast<const Record*>(right);
  return a->row != b->row ? a->row - b->row : a->column - b->column;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Writes records, those of one pair that follow one another as their sum.
class Sums {
 public:
  explicit Sums(const std::string& path) : file_(std::fopen(path.c_str(), "wb")) {}
  void add(const Record& record) {
    if (held_ && same(last_, record)) {
      last_.value += record.value;
      return;
    }
    flush();
    last_ = record;
    held_ = true;
  }
  bool finish() {
    flush();
    return file_ != nullptr && std::fclose(file_) == 0 && written_ >= 0;
  }
  std::int64_t written() const { return written_; }

 private:
  void flush() {
    if (!held_ || written_ < 0) return;
    written_ = file_ != nullptr && std::fwrite(&last_, sizeof last_, 1, file_) == 1 ? written_ + 1 : -1;
  }
  std::FILE* file_;
  Record last_{};
  bool held_ = false;
  std::int64_t written_ = 0;
};

struct Next {
  Record record;
  std::size_t file;
};

}  // namespace

struct GloveReport {
  double count_seconds, sort_seconds, table_seconds, merge_seconds;
  std::int64_t files, spilled_records, records;
};

// How GloVe shares out its memory: 0.85 of it would hold the records of a table of n (log n + 0.1544) cells, where n is
// max_product, and a sixth of so many records is the buffer. A cell is a double, so that half of the table's share is idle.
extern "C" void glove_default_sizes(double memory, std::int64_t* max_product, std::int64_t* buffer) {
  const double records = 0.85 * memory / sizeof(Record);
  double n = 1e5;
  for (int i = 0; i < 200; ++i) n = records / (std::log(n) + 0.1544313298);
  *max_product = static_cast<std::int64_t>(n);
  *buffer = static_cast<std::int64_t>(records / 6);
}

// ids[offsets[d] .. offsets[d + 1]) are ranks - 1, below `vocabulary`. Writes folder/result: records sorted by row and column.
// Returns whether everything was written.
extern "C" int glove_cooccur(const std::uint32_t* ids, const std::int64_t* offsets, std::int64_t documents,
                             std::int64_t vocabulary, std::int64_t window, std::int64_t max_product,
                             std::int64_t buffer, const char* folder, GloveReport* report) {
  *report = {};
  const std::string prefix = std::string(folder) + "/overflow_";
  std::vector<std::int64_t> begins(static_cast<std::size_t>(vocabulary) + 2);  // of each rank's row in the table
  for (std::int64_t rank = 1; rank <= vocabulary; ++rank)
    begins[rank + 1] = begins[rank] + std::min(max_product / rank, vocabulary);
  auto* table = static_cast<double*>(std::calloc(static_cast<std::size_t>(begins[vocabulary + 1]) + 1, sizeof(double)));
  auto* records = static_cast<Record*>(std::malloc(static_cast<std::size_t>(buffer) * sizeof(Record)));
  if (table == nullptr || records == nullptr || buffer <= 2 * window) return 0;
  std::vector<std::int64_t> history(static_cast<std::size_t>(window));
  std::int64_t used = 0;
  bool good = true;
  const auto spill = [&] {
    const double begin = now();
    std::qsort(records, static_cast<std::size_t>(used), sizeof(Record), compare);
    Sums sums(prefix + std::to_string(++report->files));
    for (std::int64_t i = 0; i < used; ++i) sums.add(records[i]);
    good = sums.finish() && good;
    report->spilled_records += sums.written();
    used = 0;
    report->sort_seconds += now() - begin;
  };
  const double begin = now();
  for (std::int64_t d = 0; d < documents; ++d) {
    const std::uint32_t* document = ids + offsets[d];
    const std::int64_t length = offsets[d + 1] - offsets[d];
    for (std::int64_t j = 0; j < length; ++j) {
      if (used >= buffer - 2 * window) spill();
      const std::int64_t b = std::int64_t{document[j]} + 1;
      for (std::int64_t k = j - 1; k >= std::max<std::int64_t>(j - window, 0); --k) {
        const std::int64_t a = history[k % window];
        const double weight = 1.0 / static_cast<double>(j - k);
        if (a < max_product / b) {
          table[begins[a] + b - 1] += weight;
          table[begins[b] + a - 1] += weight;
        } else {
          records[used++] = {static_cast<std::int32_t>(a), static_cast<std::int32_t>(b), weight};
          records[used++] = {static_cast<std::int32_t>(b), static_cast<std::int32_t>(a), weight};
        }
      }
      history[j % window] = b;
    }
  }
  spill();
  report->count_seconds = now() - begin - report->sort_seconds;

  const double dumped = now();
  Sums cells(prefix + "0");
  for (std::int64_t rank = 1; rank <= vocabulary; ++rank)
    for (std::int64_t at = begins[rank]; at < begins[rank + 1]; ++at)
      if (table[at] != 0)
        cells.add({static_cast<std::int32_t>(rank), static_cast<std::int32_t>(at - begins[rank] + 1), table[at]});
  good = cells.finish() && good;
  std::free(table);
  std::free(records);
  report->table_seconds = now() - dumped;

  const double merged = now();
  std::vector<std::FILE*> files;
  std::vector<Next> heap;
  const auto later = [](const Next& a, const Next& b) { return compare(&a.record, &b.record) > 0; };
  const auto push = [&](std::size_t file) {
    Next next{{}, file};
    if (std::fread(&next.record, sizeof(Record), 1, files[file]) != 1) return;
    heap.push_back(next);
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (std::int64_t i = 0; i <= report->files; ++i) {
    files.push_back(std::fopen((prefix + std::to_string(i)).c_str(), "rb"));
    if (files.back() == nullptr) return 0;
    push(static_cast<std::size_t>(i));
  }
  Sums result(std::string(folder) + "/result");
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Next next = heap.back();
    heap.pop_back();
    result.add(next.record);
    push(next.file);
  }
  good = result.finish() && good;
  report->records = result.written();
  for (std::int64_t i = 0; i <= report->files; ++i) {
    std::fclose(files[static_cast<std::size_t>(i)]);
    std::remove((prefix + std::to_string(i)).c_str());
  }
  report->merge_seconds = now() - merged;
  return good ? 1 : 0;
}
