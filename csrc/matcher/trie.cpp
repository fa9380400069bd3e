#include "matcher/trie.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <numeric>
#include <stdexcept>

namespace pivotkit {
namespace {

constexpr std::uint32_t kBlock = 256;
constexpr int kTries = 512;  // free slots looked at before a new block is opened: bounds the time to build

struct Range {  // the sorted words [begin, end) share their first `depth` bytes, which lead to `node`
  std::size_t begin, end, depth;
  std::uint32_t node;
};

}  // namespace

Trie::Trie(const std::vector<Bytes>& words, const std::vector<std::uint32_t>& values) : empty_(words.empty()) {
  std::vector<std::size_t> order(words.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::lexicographical_compare(words[a].data, words[a].data + words[a].size, words[b].data,
                                        words[b].data + words[b].size);
  });

  add_block();
  take(kRoot);
  std::deque<Range> queue{{0, words.size(), 0, kRoot}};
  std::vector<std::uint8_t> labels;
  std::vector<std::size_t> begins;
  while (!queue.empty()) {
    Range range = queue.front();
    queue.pop_front();
    if (range.begin < range.end && words[order[range.begin]].size == range.depth) {
      if (range.depth == 0) throw std::invalid_argument("Trie: words must not be empty; got an empty word");
      nodes_[range.node].is_word = true;
      values_[range.node] = values[order[range.begin]];
      ++range.begin;
      if (range.begin < range.end && words[order[range.begin]].size == range.depth)
        throw std::invalid_argument("Trie: words must be distinct; got one twice");
    }
    labels.clear();
    begins.clear();
    for (std::size_t i = range.begin; i < range.end; ++i) {
      const std::uint8_t label = words[order[i]].data[range.depth];
      if (labels.empty() || labels.back() != label) {
        labels.push_back(label);
        begins.push_back(i);
      }
    }
    // A leaf keeps base 0, where no child can be: slot 0 is the root, and no base 0 is ever given out.
    if (labels.empty()) continue;
    const std::uint32_t base = find_base(labels);
    base_used_[base] = true;
    nodes_[range.node].base = base;
    begins.push_back(range.end);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::uint32_t child = base ^ labels[i];
      take(child);
      nodes_[child].check = static_cast<std::uint16_t>(kUsed | labels[i]);
      queue.push_back({begins[i], begins[i + 1], range.depth + 1, child});
    }
  }
  next_free_ = {};
  previous_free_ = {};
  base_used_ = {};
  nodes_.shrink_to_fit();
  values_.shrink_to_fit();
}

// The list of free slots is circular and anchored at a slot that is never handed out: the root (index 0) once taken.
void Trie::add_block() {
  const std::size_t begin = nodes_.size();
  if (begin + kBlock >= kNone) throw std::length_error("Trie: words must need fewer than 2^32 nodes; got more");
  nodes_.resize(begin + kBlock);
  values_.resize(begin + kBlock, kNone);
  base_used_.resize(begin + kBlock, false);
  next_free_.resize(begin + kBlock);
  previous_free_.resize(begin + kBlock);
  if (begin == 0) {
    base_used_[0] = true;
    next_free_[0] = previous_free_[0] = 0;
  }
  for (std::size_t i = std::max<std::size_t>(begin, 1); i < nodes_.size(); ++i) {
    const auto slot = static_cast<std::uint32_t>(i);
    const std::uint32_t last = previous_free_[0];
    next_free_[last] = slot;
    previous_free_[slot] = last;
    next_free_[slot] = 0;
    previous_free_[0] = slot;
  }
}

void Trie::take(std::uint32_t slot) {
  if (slot == kRoot) {
    nodes_[slot].check = 0;  // no byte leads to the root
    return;
  }
  next_free_[previous_free_[slot]] = next_free_[slot];
  previous_free_[next_free_[slot]] = previous_free_[slot];
  next_free_[slot] = previous_free_[slot] = kNone;
}

std::uint32_t Trie::find_base(const std::vector<std::uint8_t>& labels) {
  const auto is_free = [&](std::uint32_t slot) { return slot != kRoot && next_free_[slot] != kNone; };
  int tries = 0;
  // From the newest free slots back: the old ones left over are those that fit nobody.
  for (std::uint32_t slot = previous_free_[0]; slot != 0 && tries < kTries; slot = previous_free_[slot], ++tries) {
    const std::uint32_t base = slot ^ labels[0];
    if (base_used_[base]) continue;
    if (std::all_of(labels.begin(), labels.end(), [&](std::uint8_t label) { return is_free(base ^ label); }))
      return base;
  }
  const auto base = static_cast<std::uint32_t>(nodes_.size());
  add_block();
  return base;
}

}  // namespace pivotkit
