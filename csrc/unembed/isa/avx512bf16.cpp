// The products of pairs alone; the rest is that of avx512.cpp and avx512vnni.cpp.
#include "unembed/isa/tile-inl.h"

const pivotkit::Products pivotkit::kPairsAvx512bf16 = kPairs;
