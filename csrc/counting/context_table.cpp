#include "counting/context_table.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "common/require.h"
#include "rows/row_accumulator.h"

namespace pivotkit {
namespace {

std::uint32_t last_column(const Segment& row) { return row.last_column(); }
std::uint32_t last_column(const ContextRow& row) { return static_cast<std::uint32_t>(row.tokens[row.size - 1]); }

// Makes the rows of a sum from those of a store, which it uses up, and from others that come in ascending order.
class RowSum {
 public:
  RowSum(RowStore& old, RowStore& sums, std::size_t vocabulary)
      : old_(old), reader_(old), sums_(sums), accumulator_(vocabulary, 0) {
    next();
  }

  // The old row of a word, or null. Words ascend: the rows before it are done.
  const Segment* old(std::uint32_t word) {
    for (; more_ && reader_.segment().row < word; next()) sums_.put(reader_.segment());
    return more_ && reader_.segment().row == word ? &reader_.segment() : nullptr;
  }

  void add(std::uint32_t word, const ContextRow& row) {
    if (row.summed) {
      put(word, row);
      next();
    } else {
      add_apart(word, row);
    }
  }
  void add(std::uint32_t word, const Segment& row) { add_apart(word, row); }

  void finish() { old(std::numeric_limits<std::uint32_t>::max()); }

  // What the new rows and the old ones that wait take.
  std::size_t bytes() const noexcept { return sums_.bytes() + old_.bytes() - sums_.taken_over(); }

 private:
  template <class Cells>
  void add_apart(std::uint32_t word, const Cells& row) {
    if (row.size == 0) return;
    const Segment* before = old(word);
    if (before == nullptr) return put(word, row);
    sum(word, *before, row);
    next();
  }

  void next() {
    more_ = reader_.next();
    sums_.take_over(old_, reader_.first_chunk());
  }

  void put(std::uint32_t, const Segment& row) { sums_.put(row); }
  void put(std::uint32_t word, const ContextRow& row) { sums_.put(word, row.tokens, row.counts, row.size); }

  void add_row(const Segment& row) { add_cells(row, accumulator_.values()); }
  void add_row(const ContextRow& row) { add_cells(row.tokens, row.counts, row.size, accumulator_.values()); }
  std::size_t add_row(const Segment& row, std::size_t listed) {
    return add_cells(row, accumulator_.values(), accumulator_.touched(), listed);
  }
  std::size_t add_row(const ContextRow& row, std::size_t listed) {
    return add_cells(row.tokens, row.counts, row.size, accumulator_.values(), accumulator_.touched(), listed);
  }

  template <class Cells>
  void sum(std::uint32_t word, const Segment& old, const Cells& row) {
    const std::size_t limit = std::size_t{std::max(last_column(old), last_column(row))} + 1;
    if (RowAccumulator::scans(limit, old.size + row.size)) {
      add_row(old);
      add_row(row);
      give(accumulator_.take_scanned(word, limit));
    } else {
      give(accumulator_.take_listed(word, add_row(row, add_row(old, 0))));
    }
  }
  void give(const Row& row) { sums_.put(row.id, row.columns, row.totals, row.size); }

  RowStore& old_;
  RowStoreReader reader_;
  RowStoreWriter sums_;
  RowAccumulator accumulator_;
  bool more_ = false;
};

std::size_t checked(std::size_t words, std::size_t vocabulary) {
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (words == 0 || words > kMost || vocabulary == 0 || vocabulary > kMost)
    refuse("ContextTable", "words and vocabulary", "be in [1, 2^31)", text(words, ", ", vocabulary));
  return words;
}

}  // namespace

ContextTable::ContextTable(std::size_t words, std::size_t vocabulary)
    : words_(checked(words, vocabulary)), vocabulary_(vocabulary) {}

void ContextTable::require_whole(const char* function) const {
  if (lost_) refuse<std::logic_error>(function, "the table", "be cleared after an addition that failed", "a lost one");
}

// add_rows(sum) adds rows in ascending order of words.
template <class AddRows>
void ContextTable::add_each(AddRows&& add_rows) {
  RowStore sums;
  try {
    RowSum sum(rows_, sums, vocabulary_);
    add_rows(sum);
    sum.finish();
  } catch (...) {
    clear();
    lost_ = true;
    throw;
  }
  rows_ = std::move(sums);
}

std::size_t ContextTable::add(ContextCounter& counter, std::size_t begin, std::size_t limit) {
  require_whole("add");
  if (counter.words() != words_ || counter.vocabulary() != vocabulary_)
    refuse("add", "counter", text("be of ", words_, " words and ", vocabulary_, " tokens"),
           text(counter.words(), " and ", counter.vocabulary()));
  if (begin >= words_) refuse("add", "begin", text("be below ", words_), begin);
  std::size_t end = words_;
  if (!counter.empty())
    add_each([&](RowSum& sum) {
      end = counter.each_row(
          begin, [&](std::uint32_t word) { return sum.old(word); },
          [&](std::uint32_t word, const ContextRow& row) {
            sum.add(word, row);
            return sum.bytes() <= limit;
          });
    });
  if (end == words_) counter.clear();
  return end;
}

void ContextTable::add_rows(const std::string& path) {
  require_whole("add_rows");
  const RowFile file(path, words_);
  std::vector<std::uint64_t> sizes(words_);
  file.add_sizes(sizes);
  std::vector<std::uint8_t> bytes;
  add_each([&](RowSum& sum) {
    for (std::size_t word = 0; word < words_; ++word) {
      if (sizes[word] == 0) continue;
      const RowFile::Place place = file.place(word, word + 1);
      if (place.bytes() != sizes[word]) file.corrupt(word);
      bytes.resize(place.bytes());
      file.read(place, bytes.data());
      RowWalk walk(path, bytes.data(), bytes.size(), vocabulary_);
      Segment row;
      if (walk.take(word, row)) sum.add(static_cast<std::uint32_t>(word), row);
      walk.require_done();
    }
  });
}

void ContextTable::write(RowFileWriter& file) const {
  require_whole("write");
  for (RowStoreReader reader(rows_); reader.next();) file.put(reader.segment());
}

void ContextTable::clear() noexcept {
  rows_ = RowStore();
  lost_ = false;
}

}  // namespace pivotkit
