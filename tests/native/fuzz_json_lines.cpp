// Mutated lines through the extractors of documents: no sanitizer may report, and whatever comes out must hold.
//
//   fuzz_json_lines [iterations]   mutates a corpus of its own, always the same, and prints a digest of all output:
//                                  equal for every build, so that the portable one can be held to the other.
//   clang++ -fsanitize=fuzzer,address,undefined -DPIVOTKIT_LIBFUZZER ...   the same checks under libFuzzer
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "documents/json_lines.h"
#include "documents/text_lines.h"

namespace {

using pivotkit::Bytes;
using pivotkit::DocumentBlock;
using Append = std::size_t (*)(Bytes, DocumentBlock&);

void check(bool holds, const char* what, const std::string& input) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_json_lines: %s; input:\n", what);
  for (const char c : input) std::fprintf(stderr, "\\x%02x", static_cast<unsigned char>(c));
  std::fprintf(stderr, "\n");
  std::abort();
}

// A decoder as the standard's table has it, apart from the one under test.
bool is_utf8(const std::string& text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t place) -> unsigned {
      return i + place < text.size() ? static_cast<unsigned char>(text[i + place]) : 0u;
    };
    const auto in = [&](std::size_t place, unsigned low, unsigned high) {
      return byte(place) >= low && byte(place) <= high;
    };
    const unsigned lead = byte(0);
    std::size_t length = 0;
    if (lead < 0x80)
      length = 1;
    else if (lead >= 0xc2 && lead <= 0xdf)
      length = 2;
    else if (lead >= 0xe0 && lead <= 0xef)
      length = 3;
    else if (lead >= 0xf0 && lead <= 0xf4)
      length = 4;
    if (length == 0) return false;
    if (length > 1 && !in(1,
                          lead == 0xe0   ? 0xa0
                          : lead == 0xf0 ? 0x90
                                         : 0x80,
                          lead == 0xed   ? 0x9f
                          : lead == 0xf4 ? 0x8f
                                         : 0xbf))
      return false;
    for (std::size_t place = 2; place < length; ++place)
      if (!in(place, 0x80, 0xbf)) return false;
    i += length;
  }
  return true;
}

struct Output {
  std::vector<std::string> fields;  // text, id and language of each document; a mark for what is absent
  std::vector<std::int64_t> rows;
  std::size_t stop = 0;
};

void read(const pivotkit::OptionalStrings& strings, const std::string& data, std::vector<std::string>& fields) {
  for (std::size_t i = 0; i + 1 < strings.offsets.size(); ++i) {
    const bool valid = strings.valid[i / 8] >> i % 8 & 1;
    const auto begin = static_cast<std::size_t>(strings.offsets[i]);
    fields.push_back(valid ? data.substr(begin, static_cast<std::size_t>(strings.offsets[i + 1]) - begin) : "absent");
  }
}

std::string bytes_of(pivotkit::ByteBuffer& buffer) {
  const std::size_t size = buffer.size();
  return size == 0 ? std::string() : std::string(reinterpret_cast<const char*>(buffer.end() - size), size);
}

Output run(Append append, const std::string& input) {
  // Memory of just this size, so that a look beyond it is seen.
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[input.size()]);
  if (!input.empty()) std::memcpy(copy.get(), input.data(), input.size());
  DocumentBlock block;
  Output output;
  output.stop = append({copy.get(), input.size()}, block);
  const std::string text = bytes_of(block.text);
  check(text.size() + block.ids.data.size() + block.langs.data.size() <= input.size(), "must not grow", input);
  for (std::size_t i = 0; i < block.size(); ++i) {
    const auto begin = static_cast<std::size_t>(block.offsets[i]), end = static_cast<std::size_t>(block.offsets[i + 1]);
    check(begin <= end && end <= text.size(), "offsets must ascend", input);
    output.fields.push_back(text.substr(begin, end - begin));
  }
  read(block.ids, bytes_of(block.ids.data), output.fields);
  read(block.langs, bytes_of(block.langs.data), output.fields);
  output.rows = block.rows;
  for (const std::string& field : output.fields) check(is_utf8(field), "output must be UTF-8", input);
  return output;
}

std::uint64_t mix(std::uint64_t digest, const std::string& field) {
  for (const char c : field) digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return (digest ^ field.size()) * 0x100000001b3u;
}

std::uint64_t examine(Append append, const std::string& input, std::uint64_t digest) {
  const Output whole = run(append, input);
  check(whole.stop <= input.size(), "must stop within the input", input);
  check(whole.stop == 0 || whole.stop == input.size() || input[whole.stop - 1] == '\n', "must stop at a line", input);
  std::size_t documents = 0;
  for (std::size_t begin = 0; begin < input.size();) {  // each line by itself: all before the stop taken, that one not
    const std::size_t newline = input.find('\n', begin);
    const std::size_t end = newline == std::string::npos ? input.size() : newline;
    const std::string line = input.substr(begin, end - begin);
    const Output one = run(append, line);
    const bool taken = one.stop == line.size() && (append == pivotkit::append_text_lines || !line.empty());
    check(taken == (begin < whole.stop), "a line must be taken alone as among others", input);
    if (!taken) break;
    check(append != pivotkit::append_text_lines || is_utf8(line), "what is taken must be UTF-8", input);
    for (std::size_t i = 0; i < one.rows.size(); ++i, ++documents)
      check(documents < whole.rows.size() && one.fields[0] == whole.fields[documents], "texts must agree", input);
    begin = end + 1;
  }
  check(documents == whole.rows.size(), "documents must agree", input);
  digest = mix(digest, std::to_string(whole.stop));
  for (const std::string& field : whole.fields) digest = mix(digest, field);
  return digest;
}

std::uint64_t examine(const std::string& input, std::uint64_t digest) {
  digest = examine(pivotkit::append_json_lines, input, digest);
  return examine(pivotkit::append_text_lines, input, digest);
}

#ifndef PIVOTKIT_LIBFUZZER

const char* const kSeeds[] = {
    R"({"id": "a/1", "text": "one\ntwo \"three\" \\ \/ \b\f\r\t", "lang": "en"})",
    R"({"text":"\u00e9\u732b\ud83d\ude00\u0000","id":-123456789012345678})",
    "{\"text\":\"\xc3\xa9\xe7\x8c\xab\xf0\x9f\x98\x80 plain and longer than sixteen bytes, "
    "\xe0\xa0\x80\xed\x9f\xbf\xf4\x8f\xbf\xbf\"}",
    R"( { "meta" : [ 1 , -2.5e+10 , { "a" : { } , "b" : [ [ ] , null , true , false ] } ] , "text" : "" } )",
    R"({"text":"a","text":"bb","id":null,"id":0,"lang":"x","lang":null,"n":0.125,"e":1E-7})",
    R"({"\u0074ext":"a","x":[NaN,-Infinity,Infinity,1e999999],"t":"\ud83d","id":-0.50e+7,"\ud800":{"text":1}})",
    "plain text\r\n\nof several lines\nand the last \xe2\x82\xac",
};
const char* const kPieces[] = {"\"",
                               "\\",
                               "\\u",
                               "\\ud83d",
                               "\\ude00",
                               "{",
                               "}",
                               "[",
                               "]",
                               ",",
                               ":",
                               "\n",
                               "\r",
                               " ",
                               "\"text\":",
                               "\"id\":",
                               "\"lang\":",
                               "0",
                               "-",
                               ".",
                               "e9",
                               "1e300",
                               "true",
                               "null",
                               "NaN",
                               "Infinity",
                               "\xef\xbb\xbf",
                               "\\u0074",
                               "\x80",
                               "\xbf",
                               "\xc0",
                               "\xe0\x9f",
                               "\xed\xa0\x80",
                               "\xf4\x90",
                               "\xff",
                               "\x1f",
                               "[[[[[[[[",
                               "12345678901234567890"};

struct Chance {
  std::uint64_t state = 0x9e3779b97f4a7c15u;
  std::size_t below(std::size_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return bound == 0 ? 0 : static_cast<std::size_t>((state >> 11) % bound);
  }
};

std::string mutated(Chance& chance) {
  std::string text = kSeeds[chance.below(std::size(kSeeds))];
  for (std::size_t lines = chance.below(3); lines > 0; --lines)
    text += std::string("\n") + kSeeds[chance.below(std::size(kSeeds))];
  for (std::size_t edits = chance.below(5); edits > 0; --edits) {
    const std::size_t at = chance.below(text.size() + 1);
    switch (chance.below(5)) {
      case 0:
        text.erase(at, 1 + chance.below(4));
        break;
      case 1:
        text.insert(at, kPieces[chance.below(std::size(kPieces))]);
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(chance.below(256));
        break;
      case 3:
        text.insert(at, text.substr(chance.below(text.size() + 1), chance.below(80)));
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}

#endif

}  // namespace

#ifdef PIVOTKIT_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  examine(std::string(reinterpret_cast<const char*>(data), size), 0);
  return 0;
}
#else
int main(int count, char** arguments) {
  const long iterations = count > 1 ? std::atol(arguments[1]) : 300000;
  Chance chance;
  std::uint64_t digest = 0xcbf29ce484222325u;
  for (long i = 0; i < iterations; ++i) digest = examine(mutated(chance), digest);
  for (std::size_t depth = 1017; depth < 1032; ++depth)  // about the deepest that is taken
    digest = examine("{\"x\":" + std::string(depth, '[') + std::string(depth, ']') + ",\"text\":\"a\"}", digest);
  std::printf("%ld inputs, %016llx\n", iterations, static_cast<unsigned long long>(digest));
  return 0;
}
#endif
