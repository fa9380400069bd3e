#include "matcher/trie.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

namespace pivotkit {
namespace {

// How many nodes below the first level the words need: in sorted order, what each does not share with the one before.
std::size_t count_nodes(const SymbolTable& words) {
  const auto begin = [&](std::size_t i) { return words.symbols.begin() + static_cast<std::ptrdiff_t>(words.offsets[i]); };
  std::vector<std::size_t> order(words.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::lexicographical_compare(begin(a), begin(a + 1), begin(b), begin(b + 1));
  });
  std::size_t nodes = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto first = begin(order[i]), last = begin(order[i] + 1);
    std::ptrdiff_t shared = 0;
    if (i > 0) shared = std::mismatch(first, last, begin(order[i - 1]), begin(order[i - 1] + 1)).first - first;
    nodes += static_cast<std::size_t>(last - first - std::max<std::ptrdiff_t>(shared, 1));
  }
  return nodes;
}

}  // namespace

Trie::Trie(const SymbolTable& words, const std::vector<std::uint32_t>& values, std::uint32_t symbols) : first_(symbols) {
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words.offsets[i] == words.offsets[i + 1])
      throw std::invalid_argument("Trie: words must not be empty; got word " + std::to_string(i));
  const std::size_t slots = count_nodes(words) / 2 * 3 + 16;
  if (slots >= kFirst) throw std::length_error("Trie: words must need fewer than 2^30 nodes; got more");
  nodes_ = LargeVector<Node>(slots);
  for (std::size_t i = 0; i < words.size(); ++i) {
    Node* node = &first_[words.symbols[words.offsets[i]]];
    std::uint32_t name = first_name(words.symbols[words.offsets[i]]);
    for (std::size_t at = words.offsets[i] + 1; at < words.offsets[i + 1]; ++at) {
      const std::uint32_t symbol = words.symbols[at];
      node->symbol |= kParent;
      std::size_t place = slot(name, symbol);
      const std::uint32_t known = child(static_cast<std::uint32_t>(place), name, symbol);
      if (known != kNone) {
        place = known;
      } else {
        while (nodes_[place].parent != kNone) place = place + 1 == nodes_.size() ? 0 : place + 1;
        nodes_[place].parent = name;
        nodes_[place].symbol = symbol;
      }
      node = &nodes_[place];
      name = static_cast<std::uint32_t>(place);
    }
    if (node->value != kNone) throw std::invalid_argument("Trie: words must be distinct; got one twice");
    node->value = values[i];
  }
}

}  // namespace pivotkit
