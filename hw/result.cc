// SPDX-License-Identifier: Apache-2.0
#include "hw/result.h"

#include <cerrno>
#include <cstring>

namespace vigia {

Error os_error(std::string what) { return os_error(std::move(what), errno); }

Error os_error(std::string what, int error_number) {
  const auto code = error_number == EINVAL ? std::errc::io_error : static_cast<std::errc>(error_number);
  return {code, std::move(what) + ": " + std::strerror(error_number)};
}

}  // namespace vigia
