// The distinct tokens of documents, and in how many documents each token is.
//
// One 32-bit entry per id holds the document that had it last and the documents that have had it since the last fold.
// So a token costs one load and one store, both in a table that mostly stays in the caches, and no branch. A bit per id
// takes less memory and three times as long: frequent ids share a word, and each waits for the store of the one before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

class DistinctTokens {
 public:
  explicit DistinctTokens(std::size_t vocabulary) : entries_(vocabulary), df_(vocabulary) {}

  // Counts a document of the ids ids[0 .. size).
  template <class Id>
  void count(const Id* ids, std::size_t size) {
    const std::uint32_t document = next_document();
    for (std::size_t i = 0; i < size; ++i) see(ids[i], document);
  }

  // The same, and writes the distinct ids to `out` (room for `size`) in the order of their first occurrence. Returns
  // how many there are. Every id is written, but the place moves on only past a new one.
  template <class Id>
  std::size_t collect(const Id* ids, std::size_t size, Id* out) {
    const std::uint32_t document = next_document();
    std::size_t count = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const Id id = ids[i];
      out[count] = id;
      count += see(id, document);
    }
    return count;
  }

  // The documents that are counted since the last fold; there is room for `kMost` without one.
  static constexpr std::uint32_t kMost = 0xFFFF;
  std::uint32_t since_fold() const noexcept { return document_; }

  // Adds what is counted since the last fold to cells (vocabulary) too.
  void fold_into(std::uint32_t* cells) {
    for (std::size_t id = 0; id < entries_.size(); ++id) cells[id] += entries_[id] >> kCountShift;
    fold();
  }
  // Adds the counts to df_ before one of them can reach 2^16, and begins anew with document 1.
  void fold() {
    for (std::size_t id = 0; id < entries_.size(); ++id) {
      df_[id] += entries_[id] >> kCountShift;
      entries_[id] = 0;
    }
    document_ = 0;
  }

  std::size_t vocabulary() const noexcept { return df_.size(); }

  // Per id the documents that were counted with it.
  const std::vector<std::int64_t>& df() {
    fold();
    return df_;
  }

 private:
  static constexpr int kCountShift = 16;
  static constexpr std::uint32_t kDocument = kMost;  // the bits of the document; the higher ones count

  std::uint32_t next_document() {
    if (document_ == kDocument) fold();
    return ++document_;
  }

  // Whether the document has this id for the first time.
  std::uint32_t see(std::size_t id, std::uint32_t document) noexcept {
    const std::uint32_t entry = entries_[id];
    const std::uint32_t is_new = (entry & kDocument) != document;
    entries_[id] = ((entry & ~kDocument) + (is_new << kCountShift)) | document;
    return is_new;
  }

  std::uint32_t document_ = 0;
  std::vector<std::uint32_t> entries_;
  std::vector<std::int64_t> df_;
};

}  // namespace pivotkit
