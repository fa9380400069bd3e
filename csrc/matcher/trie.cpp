#include "matcher/trie.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "common/require.h"

namespace pivotkit {
namespace {

// How many nodes below the first level the words need: in sorted order, the symbols that each word does not share with
// the word before.
std::size_t count_nodes(const SymbolTable& words) {
  const auto begin = [&](std::size_t i) {
    return words.symbols.begin() + static_cast<std::ptrdiff_t>(words.offsets[i]);
  };
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

Trie::Trie(const SymbolTable& words, const std::vector<std::uint32_t>& values, std::uint32_t symbols)
    : first_(symbols) {
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words.offsets[i] == words.offsets[i + 1]) refuse("Trie", "words", "not be empty", text("word ", i));
  const std::size_t buckets = count_nodes(words) / 4 * 3 + 5;
  if (buckets >= kFirst / kBucket) refuse<std::length_error>("Trie", "words", "need fewer than 2^30 nodes", "more");
  buckets_ = HugeArray<Bucket>(buckets, Bucket());
  for (std::size_t i = 0; i < words.size(); ++i) {
    End* node = &first_[words.symbols[words.offsets[i]]];
    std::uint32_t name = first_name(words.symbols[words.offsets[i]]);
    for (std::size_t at = words.offsets[i] + 1; at < words.offsets[i + 1]; ++at) {
      const std::uint32_t symbol = words.symbols[at];
      node->add(symbol);
      name = make_child(edge(name, symbol));
      node = &buckets_[name / kBucket].nodes[name % kBucket];
    }
    if (node->is_word()) refuse("Trie", "words", "be distinct", "one twice");
    node->value = values[i];
  }
}

std::uint32_t Trie::make_child(const Edge& edge) {
  const std::uint32_t known = child(edge);
  if (known != kNobody) return known;
  std::size_t place = std::size_t{edge.bucket} * kBucket;
  while (buckets_[place / kBucket].nodes[place % kBucket].key != kEmpty)
    place = place + 1 == buckets_.size() * kBucket ? kBucket : place + 1;
  buckets_[place / kBucket].nodes[place % kBucket].key = edge.key;
  return static_cast<std::uint32_t>(place);
}

}  // namespace pivotkit
