// The one way to refuse in all native code: "<function>: <argument> must <rule>; got <value>".
#pragma once

#include <cstdio>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace pivotkit {

// A user asked by name for a backend or an instruction set that is absent. Python sees
// pivotkit.errors.BackendUnavailable.
struct BackendUnavailable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Pieces of a message become text without streams, because the headers of streams cost each file that includes this one
// a tenth of a second.
inline std::string text_of(const std::string& piece) { return piece; }
inline std::string text_of(const char* piece) { return piece; }
inline std::string text_of(double piece) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%g", piece);
  return digits;
}
template <class Integer, class = std::enable_if_t<std::is_integral<Integer>::value>>
std::string text_of(Integer piece) {
  return std::to_string(piece);
}

template <class... Pieces>
std::string text(const Pieces&... pieces) {
  std::string all;
  ((all += text_of(pieces)), ...);
  return all;
}

// Error is std::invalid_argument or std::length_error (ValueError), std::out_of_range (IndexError), std::overflow_error
// (OverflowError) or BackendUnavailable. What no argument explains is std::logic_error or std::runtime_error
// (RuntimeError).
template <class Error>
[[noreturn, gnu::cold]] void refuse_text(const std::string& function, const std::string& argument,
                                         const std::string& rule, const std::string& got) {
  throw Error(function + ": " + argument + " must " + rule + "; got " + got);
}

template <class Error = std::invalid_argument, class Got>
[[noreturn, gnu::cold]] void refuse(const std::string& function, const std::string& argument, const std::string& rule,
                                    const Got& got) {
  refuse_text<Error>(function, argument, rule, text_of(got));
}

}  // namespace pivotkit
