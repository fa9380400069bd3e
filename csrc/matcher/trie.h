// A double-array trie over bytes, frozen at construction (J. Aoe, "An efficient digital search algorithm by using a
// double-array structure", IEEE TSE 15(9), 1989), with children at base XOR byte so that they share a block of 256.
//
// Every node has a base of its own, so a slot that is in use and carries the byte it was reached by proves the parent:
// one 8-byte node and one cache line per byte of text.
#pragma once

#include <cstdint>
#include <vector>

#include "common/byte_table.h"

namespace pivotkit {

class Trie {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  static constexpr std::uint32_t kRoot = 0;

  // `words` with their values; words must be distinct and not empty.
  Trie(const std::vector<Bytes>& words, const std::vector<std::uint32_t>& values);

  // The child of `node` by `byte`, or kNone.
  std::uint32_t child(std::uint32_t node, std::uint8_t byte) const noexcept {
    const std::uint32_t at = nodes_[node].base ^ byte;
    return nodes_[at].check == (kUsed | byte) ? at : kNone;
  }
  bool is_word(std::uint32_t node) const noexcept { return nodes_[node].is_word; }
  std::uint32_t value(std::uint32_t node) const noexcept { return values_[node]; }
  bool empty() const noexcept { return empty_; }
  std::size_t bytes() const noexcept {
    return nodes_.capacity() * sizeof(Node) + values_.capacity() * sizeof(std::uint32_t);
  }

 private:
  static constexpr std::uint16_t kUsed = 0x100;

  struct Node {
    std::uint32_t base = 0;
    std::uint16_t check = 0;
    bool is_word = false;
  };

  void add_block();
  void take(std::uint32_t slot);
  std::uint32_t find_base(const std::vector<std::uint8_t>& labels);

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> values_;
  bool empty_ = true;

  // Only while building: which slots and bases are free, as a linked list of free slots.
  std::vector<std::uint32_t> next_free_, previous_free_;
  std::vector<bool> base_used_;
};

}  // namespace pivotkit
