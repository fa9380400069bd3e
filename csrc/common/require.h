// The error grammar of every kernel: "<function>: <argument> must <rule>; got <value>".
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace pivotkit {

// A backend or instruction set that was asked for by name and is absent; Python sees pivotkit.errors.BackendUnavailable.
struct BackendUnavailable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

// Error is std::invalid_argument (ValueError), std::out_of_range (IndexError) or BackendUnavailable.
template <class Error = std::invalid_argument, class Got>
[[noreturn]] void refuse(const char* function, const char* argument, const std::string& rule, const Got& got) {
  throw Error(text(function, ": ", argument, " must ", rule, "; got ", got));
}

}  // namespace pivotkit
