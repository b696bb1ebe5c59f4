// SPDX-License-Identifier: Apache-2.0
// What PF and VF have in common: name, configuration space, the client's memory and interrupt vectors.
#pragma once

#include <string>

#include "softnic/config_space.h"
#include "softnic/dma_space.h"
#include "softnic/msix.h"

namespace vigia::softnic {

struct FunctionCore {
  FunctionCore(std::string function_name, const ConfigSpace& space, unsigned vectors)
      : name(std::move(function_name)), config(space), msix(vectors) {}

  std::string name;  // "pf", "vf3"
  ConfigSpace config;
  DmaSpace dma;
  Msix msix;
  bool bus_master = false;  // COMMAND bit, kept here for the data path
  bool attached = false;    // a client has touched the function since the last one went away
};

}  // namespace vigia::softnic
