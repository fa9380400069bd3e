// The products of pairs alone, in tiles; the rest is that of avx512.cpp and avx512vnni.cpp.
#include "unembed/amx-inl.h"

const pivotkit::Products pivotkit::kPairsAmx = kAmx;
