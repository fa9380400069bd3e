// The sum of the context tables of many blocks (context_counter.h), in memory.
//
//   table(w, t) = the sum over all blocks added of context(w, t)
//
// The table is held as its rows lie in a row file: only the cells that are not zero, each in the fewest bytes. A block
// is added in one pass over the table, word by word. The pass makes new rows and gives the memory of each old row to
// them once it is used up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "counting/context_counter.h"
#include "rows/row_file.h"
#include "rows/row_store.h"

namespace pivotkit {

class ContextTable {
 public:
  ContextTable(std::size_t words, std::size_t vocabulary);

  // Adds the rows of the counter's block of words from `begin` on, until the table takes more than `limit` bytes, and
  // returns the word to go on with: once the table is written and cleared, the rest is added to it. After the last word
  // it begins the counter's next block. Refuses a counter of other words or another vocabulary, and changes nothing
  // then. Whatever else it throws (std::bad_alloc, std::overflow_error for a total of 2^63 or more) ends the table: it
  // is empty and refuses everything but clear(). The counter keeps its block then. Costs the block's rows and a pass
  // over the table, 1 to 3 ns per cell; nothing where the block is empty.
  std::size_t add(ContextCounter& counter, std::size_t begin, std::size_t limit);

  // Adds the rows of a row file, and ends the table too where it throws at a damaged row. A file that is not whole is
  // refused before anything is changed.
  void add_rows(const std::string& path);

  // Writes all rows: the very records that any other way to add up the same blocks writes.
  void write(RowFileWriter& file) const;

  // Refuses a table that an addition ended.
  void require_whole(const char* function) const;

  // Frees the rows and begins anew.
  void clear() noexcept;

  // What the rows take, in whole chunks of RowStore::kChunk. While a block is added the table takes at most what it
  // takes afterwards, four chunks, four times its largest row, and the RowAccumulator of one row: a row never becomes
  // smaller, so new rows and old ones that wait are no more than all new ones. So an addition with a limit passes it by
  // no more than that and one row.
  std::size_t bytes() const noexcept { return rows_.bytes(); }
  std::size_t words() const noexcept { return words_; }

 private:
  template <class AddRows>
  void add_each(AddRows&& add_rows);

  std::size_t words_, vocabulary_;
  RowStore rows_;
  bool lost_ = false;  // an addition failed
};

}  // namespace pivotkit
