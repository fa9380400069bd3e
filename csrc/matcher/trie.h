// A trie over symbols, frozen at construction. Its first level is an array; below it every edge is a slot of one hash
// table, found by its parent and its symbol, and the slot's place is the child's name. So a step down costs one look-up
// in one place that is known before it is read and can be prefetched, building is one insertion a node, and no list of
// words makes it slow to build (a double array over an alphabet of 10^4 is packed by trial).
//
// Memory: 12 bytes a node over a table 2/3 full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/hash.h"
#include "common/large_vector.h"

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

  struct Node {
    std::uint32_t parent = kNone;
    std::uint32_t symbol = 0;    // kParent set where the node has children
    std::uint32_t value = kNone;  // kNone where no word ends
  };

  Trie() = default;

  // Values must be below 2^32 - 1. Throws std::invalid_argument for a word that is empty or comes twice.
  Trie(const SymbolTable& words, const std::vector<std::uint32_t>& values, std::uint32_t symbols);

  // The node of the first symbol; `symbol` below the constructor's `symbols`.
  const Node& first(std::uint32_t symbol) const noexcept { return first_[symbol]; }
  bool is_first(std::uint32_t symbol) const noexcept {
    return first_[symbol].value != kNone || has_children(first_[symbol]);
  }
  static std::uint32_t first_name(std::uint32_t symbol) noexcept { return kFirst | symbol; }
  static bool has_children(const Node& node) noexcept { return (node.symbol & kParent) != 0; }

  // Where the search for a child begins, and the child from there: its name, or kNone.
  std::uint32_t slot(std::uint32_t parent, std::uint32_t symbol) const noexcept {
    const std::uint64_t hash = mix64(std::uint64_t{parent} << 32 | symbol);
    return static_cast<std::uint32_t>((hash >> 32) * nodes_.size() >> 32);
  }
  void prefetch(std::uint32_t slot) const noexcept {
#if defined(__GNUC__)
    __builtin_prefetch(nodes_.data() + slot);
#endif
  }
  std::uint32_t child(std::uint32_t slot, std::uint32_t parent, std::uint32_t symbol) const noexcept {
    for (std::size_t at = slot;; at = at + 1 == nodes_.size() ? 0 : at + 1) {
      if (nodes_[at].parent == parent && (nodes_[at].symbol & ~kParent) == symbol) return static_cast<std::uint32_t>(at);
      if (nodes_[at].parent == kNone) return kNone;
    }
  }
  const Node& node(std::uint32_t name) const noexcept { return nodes_[name]; }

  std::size_t bytes() const noexcept { return (nodes_.capacity() + first_.capacity()) * sizeof(Node); }

 private:
  static constexpr std::uint32_t kFirst = 0x80000000U;
  static constexpr std::uint32_t kParent = 0x80000000U;

  std::vector<Node> first_ = std::vector<Node>(1);
  LargeVector<Node> nodes_ = LargeVector<Node>(1);
};

}  // namespace pivotkit
