// SPDX-License-Identifier: Apache-2.0
// The XML of a domain's metadata, for domain_xml.cc.
#pragma once

#include <string>
#include <string_view>

#include "orchestrator/domain_xml.h"

namespace pugi {
class xml_node;
}

namespace vigia::orch {

// Appends <vigia:vm> to parent.
void append_metadata(pugi::xml_node parent, const VmMetadata& metadata);

// A JSON string with its quotes.
std::string json_string(std::string_view text);

}  // namespace vigia::orch
