// A trie over symbols, frozen at construction. Its first level is an array. Below it every edge is an entry of one hash
// table, found by its parent and its symbol, and the place of the entry is the name of the child. So a step down costs
// one look-up in one cache line that is known beforehand and can be prefetched. Building takes one insertion per node.
// No list of words makes it slow to build (a double array over an alphabet of 10^4 symbols is packed by trial).
//
// The table consists of buckets of four nodes, one cache line each, whose keys are compared without a branch. A full
// bucket continues in the next one. Each node has a filter of 32 bits with one bit set per child, so most steps that
// lead nowhere are refused without a look-up. Memory: 48 bytes per node. The table is a third full, so that few buckets
// are full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/hash.h"
#include "common/huge_array.h"

namespace pivotkit {

// Words as packed symbols: word i is symbols[offsets[i] .. offsets[i + 1]).
struct SymbolTable {
  std::vector<std::uint32_t> symbols;
  std::vector<std::size_t> offsets{0};

  std::size_t size() const noexcept { return offsets.size() - 1; }
};

class Trie {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // the key of no edge

  struct End {
    bool is_word() const noexcept { return value != kNone; }
    // Whether a child by `symbol` is likely. Symbols are no multiples of 32, so symbol 0, which is in no word, has no
    // child.
    bool may_have(std::uint32_t symbol) const noexcept { return (children >> symbol % 32 & 1) != 0; }
    void add(std::uint32_t symbol) noexcept { children |= std::uint32_t{1} << symbol % 32; }

    std::uint32_t value = kNone;
    std::uint32_t children = 0;  // the filter
  };
  struct Node : End {
    std::uint64_t key = kEmpty;  // parent and symbol
  };

  // An edge, and the bucket where the search for it begins.
  struct Edge {
    std::uint64_t key;
    std::uint32_t bucket;
  };

  Trie() = default;

  // Values must be below 2^32 - 1. Throws std::invalid_argument for a word that is empty or comes twice.
  Trie(const SymbolTable& words, const std::vector<std::uint32_t>& values, std::uint32_t symbols);

  // The end of the first symbol; `symbol` below the constructor's `symbols`.
  const End& first(std::uint32_t symbol) const noexcept { return first_[symbol]; }
  static std::uint32_t first_name(std::uint32_t symbol) noexcept { return kFirst | symbol; }

  Edge edge(std::uint32_t parent, std::uint32_t symbol) const noexcept {
    const std::uint64_t key = std::uint64_t{parent} << 32 | symbol;
    return {key, static_cast<std::uint32_t>(1 + ((key * kMultiplier >> 32) * (buckets_.size() - 1) >> 32))};
  }
  void prefetch(const Edge& edge) const noexcept {
#if defined(__GNUC__)
    __builtin_prefetch(buckets_.data() + edge.bucket);
#endif
  }
  // The name of the child at the end of `edge`, or of a node with neither word nor children.
  std::uint32_t child(const Edge& edge) const noexcept {
    std::size_t bucket = edge.bucket;
    while (true) {
      const Node* nodes = buckets_[bucket].nodes;
      std::uint32_t found = kNobody;
      for (std::uint32_t i = 0; i < kBucket; ++i) {  // arithmetic, because a compiler would make branches of a choice
        const std::uint32_t same = 0U - static_cast<std::uint32_t>(nodes[i].key == edge.key);
        found |= same & static_cast<std::uint32_t>(bucket * kBucket + i);
      }
      if (nodes[kBucket - 1].key == kEmpty || found != kNobody) return found;
      bucket = bucket + 1 == buckets_.size() ? 1 : bucket + 1;
    }
  }
  const Node& node(std::uint32_t name) const noexcept { return buckets_[name / kBucket].nodes[name % kBucket]; }

  std::size_t bytes() const noexcept { return buckets_.size() * sizeof(Bucket) + first_.capacity() * sizeof(End); }

 private:
  static constexpr std::uint32_t kFirst = 0x80000000U;
  static constexpr std::uint64_t kMultiplier = 0xD6E8FEB86659FD93ULL;  // odd, its halves unlike any fraction of 2^32
  static constexpr std::uint32_t kBucket = 4;
  static constexpr std::uint32_t kNobody = 0;  // the bucket 0 stays empty

  struct alignas(64) Bucket {
    Node nodes[kBucket];
  };

  std::uint32_t make_child(const Edge& edge);

  std::vector<End> first_ = std::vector<End>(1);
  HugeArray<Bucket> buckets_{2, Bucket()};
};

}  // namespace pivotkit
