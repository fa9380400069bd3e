#include "unicode/normal_form.h"

#include <algorithm>
#include <string>

#include "common/byte_table.h"
#include "common/require.h"

namespace pivotkit {
namespace {

// Hangul, Unicode chapter 3.12.
constexpr std::uint32_t kFirstSyllable = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kFinal = 0x11A7;
constexpr std::uint32_t kLeads = 19, kVowels = 21, kFinals = 28, kSyllables = kLeads * kVowels * kFinals;

std::uint64_t pair_key(std::uint32_t first, std::uint32_t second) noexcept {
  return std::uint64_t{first} << 32 | second;
}

void check_code_points(const std::string& name, const std::uint32_t* values, std::size_t count) {
  const auto* bad = std::find_if(values, values + count, [](std::uint32_t value) { return value >= kCodePoints; });
  if (bad != values + count) refuse("Normalizer", name, "hold code points", *bad);
}

}  // namespace

NormalForm::NormalForm(const UnicodeData& data) : traits_(std::vector<std::uint16_t>(kCodePoints, 0).data()) {
  std::vector<std::uint16_t> traits(data.combining, data.combining + kCodePoints);
  for (std::uint32_t code = 0; code < kCodePoints; ++code)
    if (traits[code] != 0) unusual_.push_back(code);
  add("decompositions", data.decompositions, kDecomposes, decompositions_, traits);
  add("foldings", data.foldings, kFolds, foldings_, traits);
  check_code_points("compositions", data.compositions, data.composition_count * 3);
  for (std::size_t i = 0; i < data.composition_count; ++i) {
    const std::uint32_t* row = data.compositions + i * 3;
    *composites_.insert(pair_key(row[0], row[1])).first = row[2];
    traits[row[1]] |= kSecond;
    unusual_.push_back(row[1]);
  }
  for (std::uint32_t code = kVowel; code < kFinal + kFinals; ++code) {
    if (code >= kVowel + kVowels && code <= kFinal) continue;
    traits[code] |= kSecond;
    unusual_.push_back(code);
  }
  std::fill_n(traits.begin() + kFirstSyllable, kSyllables, kSyllable);
  traits_ = CodePointTable<std::uint16_t>(traits.data());
  std::sort(unusual_.begin(), unusual_.end());
  unusual_.erase(std::unique(unusual_.begin(), unusual_.end()), unusual_.end());
}

void NormalForm::add(const char* name, const CodePointTexts& texts, std::uint16_t trait, FlatMap<Text>& map,
                     std::vector<std::uint16_t>& traits) {
  check_code_points(name, texts.codes, texts.count);
  const auto size = static_cast<std::size_t>(texts.offsets[texts.count]);
  check_code_points(name, texts.values, size);
  const auto begin = static_cast<std::uint32_t>(values_.size());
  values_.insert(values_.end(), texts.values, texts.values + size);
  for (std::size_t i = 0; i < texts.count; ++i) {
    if (i > 0 && texts.codes[i] <= texts.codes[i - 1])
      refuse("Normalizer", name, "ascend", text(texts.codes[i], " after ", texts.codes[i - 1]));
    if (trait == kFolds && texts.offsets[i] == texts.offsets[i + 1])
      refuse("Normalizer", name, "hold no empty text", text("one for ", texts.codes[i]));
    *map.insert(texts.codes[i]).first = {begin + static_cast<std::uint32_t>(texts.offsets[i]),
                                         static_cast<std::uint32_t>(texts.offsets[i + 1] - texts.offsets[i])};
    traits[texts.codes[i]] |= trait;
    unusual_.push_back(texts.codes[i]);
  }
}

void NormalForm::normalize(CodePoints& text, CodePoints& scratch) const {
  decompose(text, scratch);
  compose(text);
  if ((all_traits(text) & kFolds) == 0) return;
  fold(text, scratch);
  decompose(text, scratch);
  compose(text);
}

void NormalForm::decompose(CodePoints& text, CodePoints& scratch) const {
  if ((all_traits(text) & (kDecomposes | kSyllable)) != 0) {
    scratch.clear();
    for (const std::uint32_t code : text) {
      if (has(code, kSyllable)) {
        const std::uint32_t index = code - kFirstSyllable;
        scratch.push_back(kLead + index / (kVowels * kFinals));
        scratch.push_back(kVowel + index / kFinals % kVowels);
        if (index % kFinals != 0) scratch.push_back(kFinal + index % kFinals);
      } else if (has(code, kDecomposes)) {
        append(decompositions_, code, scratch);
      } else {
        scratch.push_back(code);
      }
    }
    text.swap(scratch);
  }
  sort_marks(text);
}

void NormalForm::fold(CodePoints& text, CodePoints& scratch) const {
  scratch.clear();
  for (const std::uint32_t code : text) {
    if (has(code, kFolds))
      append(foldings_, code, scratch);
    else
      scratch.push_back(code);
  }
  text.swap(scratch);
}

void NormalForm::append(const FlatMap<Text>& texts, std::uint32_t code, CodePoints& out) const {
  const Text text = *texts.find(code);
  const auto begin = values_.begin() + text.begin;
  out.insert(out.end(), begin, begin + text.size);
}

std::uint16_t NormalForm::all_traits(const CodePoints& text) const noexcept {
  std::uint16_t all = 0;
  for (const std::uint32_t code : text) all |= traits_[code];
  return all;
}

void NormalForm::sort_marks(CodePoints& text) const {
  if ((all_traits(text) & kCombining) == 0) return;
  const auto is_mark = [this](std::uint32_t code) { return combining(code) != 0; };
  const auto before = [this](std::uint32_t a, std::uint32_t b) { return combining(a) < combining(b); };
  for (auto begin = text.begin(); begin != text.end();) {
    begin = std::find_if(begin, text.end(), is_mark);
    const auto end = std::find_if_not(begin, text.end(), is_mark);
    if (end - begin > 1 && !std::is_sorted(begin, end, before)) std::stable_sort(begin, end, before);
    begin = end;
  }
}

void NormalForm::compose(CodePoints& text) const {
  constexpr std::size_t kNoStarter = static_cast<std::size_t>(-1);
  std::size_t size = 0, starter = kNoStarter;
  int last = -1;  // combining class of the last code point kept after the starter, -1 when there is none
  for (const std::uint32_t code : text) {
    const int combining_class = combining(code);
    if (has(code, kSecond) && starter != kNoStarter && last < combining_class) {
      if (const std::uint32_t both = composite(text[starter], code); both != 0) {
        text[starter] = both;
        continue;
      }
    }
    if (combining_class == 0) starter = size;
    last = combining_class == 0 ? -1 : combining_class;
    text[size++] = code;  // never ahead of what is read
  }
  text.resize(size);
}

std::uint32_t NormalForm::composite(std::uint32_t first, std::uint32_t second) const noexcept {
  if (first - kLead < kLeads && second - kVowel < kVowels)
    return kFirstSyllable + ((first - kLead) * kVowels + (second - kVowel)) * kFinals;
  if (first - kFirstSyllable < kSyllables && (first - kFirstSyllable) % kFinals == 0 &&
      second - kFinal - 1 < kFinals - 1)
    return first + (second - kFinal);
  const std::uint32_t* found = composites_.find(pair_key(first, second));
  return found == nullptr ? 0 : *found;
}

std::size_t NormalForm::bytes() const noexcept {
  return traits_.bytes() + decompositions_.bytes() + foldings_.bytes() + composites_.bytes() +
         (values_.capacity() + unusual_.capacity()) * sizeof(std::uint32_t);
}

}  // namespace pivotkit
