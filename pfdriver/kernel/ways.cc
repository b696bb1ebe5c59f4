// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/manager.h"

namespace vigia::pf {

Result<KernelWays> open_kernel_ways(std::string_view spec) {
  auto sriov = Sriov::find(spec);
  if (!sriov) return sriov.error();
  auto netlink = open_route_netlink();
  if (!netlink) return netlink.error();
  auto traffic = open_traffic_control();
  if (!traffic) return traffic.error();
  auto mapping = std::make_shared<std::unique_ptr<Resource0>>();
  return KernelWays{*sriov, std::move(*netlink),
                    [folder = sriov->folder(), mapping]() -> Result<hw::Bar*> {
                      if (*mapping == nullptr) {
                        auto opened = Resource0::open(folder);
                        if (!opened) return opened.error();
                        *mapping = std::move(*opened);
                      }
                      return &(*mapping)->bar();
                    },
                    std::move(*traffic)};
}

}  // namespace vigia::pf
