// SPDX-License-Identifier: Apache-2.0
// What a lab must obey beyond the shape of its file: names, addresses, VFs, taps, filters, captures.
#pragma once

#include <string>
#include <vector>

#include "orchestrator/lab_spec.h"

namespace vigia::orch {

struct Violation {
  std::string path;  // the key it is about: "lab.tenants[1].mac"
  std::string text;  // what is wrong and what to do
};

// Every broken rule. Opens and reads the captures that the lab names, changes nothing.
std::vector<Violation> violations(const LabSpec& spec);

// Gives an address to everyone who has none and to nobody, different from all that are given: locally administered.
void make_up_addresses(LabSpec& spec);

}  // namespace vigia::orch
