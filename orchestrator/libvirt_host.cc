// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/libvirt_host.h"

#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <cstdlib>
#include <type_traits>
#include <utility>

#include "orchestrator/domain_xml.h"

namespace vigia::orch {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Connection = std::unique_ptr<std::remove_pointer_t<virConnectPtr>, Freed<virConnectClose>>;
using Domain = std::unique_ptr<std::remove_pointer_t<virDomainPtr>, Freed<virDomainFree>>;
using NodeDevice = std::unique_ptr<std::remove_pointer_t<virNodeDevicePtr>, Freed<virNodeDeviceFree>>;
using Text = std::unique_ptr<char, Freed<std::free>>;

// libvirt writes to stderr by itself unless told otherwise.
void silent(void*, virErrorPtr) {}

int last_code() {
  const virErrorPtr error = virGetLastError();
  return error != nullptr ? error->code : 0;
}

Error failed(const std::string& uri, const std::string& what) {
  return work_error(fmt::format("libvirt {}: {}: {}", uri, what, virGetLastErrorMessage()));
}

std::string remedy_of_connect(const std::string& uri) {
  if (uri.starts_with("test:")) return "";
  return "; is libvirtd up (systemctl start libvirtd), and may you use it (group libvirt)? Another one: --uri";
}

}  // namespace

struct LibvirtHost::State {
  std::string uri;
  Connection connection;

  Result<Domain> find(const std::string& name) const {
    Domain domain(virDomainLookupByName(connection.get(), name.c_str()));
    if (!domain) return failed(uri, "find domain " + name);
    return domain;
  }
};

LibvirtHost::LibvirtHost(std::unique_ptr<State> state) : state_(std::move(state)) {}
LibvirtHost::LibvirtHost(LibvirtHost&&) noexcept = default;
LibvirtHost& LibvirtHost::operator=(LibvirtHost&&) noexcept = default;
LibvirtHost::~LibvirtHost() = default;

const std::string& LibvirtHost::uri() const { return state_->uri; }

Result<LibvirtHost> LibvirtHost::open(const std::string& uri) {
  virSetErrorFunc(nullptr, silent);
  Connection connection(virConnectOpen(uri.c_str()));
  if (!connection) {
    return work_error(
        fmt::format("connect to libvirt {}: {}{}", uri, virGetLastErrorMessage(), remedy_of_connect(uri)));
  }
  return LibvirtHost(std::make_unique<State>(State{uri, std::move(connection)}));
}

Result<std::string> LibvirtHost::capabilities() {
  const Text text(virConnectGetCapabilities(state_->connection.get()));
  if (!text) return failed(state_->uri, "read the host's capabilities");
  return std::string(text.get());
}

Result<std::vector<std::string>> LibvirtHost::node_devices() {
  std::vector<std::string> out;
  virNodeDevicePtr* list = nullptr;
  const int count =
      virConnectListAllNodeDevices(state_->connection.get(), &list,
                                   VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV | VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET);
  if (count < 0) {
    if (last_code() == VIR_ERR_NO_SUPPORT) return out;  // a driver without node devices
    return failed(state_->uri, "list the host's devices");
  }
  const std::unique_ptr<virNodeDevicePtr, Freed<std::free>> owner(list);
  for (int i = 0; i < count; ++i) {
    const NodeDevice device(list[i]);
    const Text text(virNodeDeviceGetXMLDesc(device.get(), 0));
    if (text) out.emplace_back(text.get());  // else it was unplugged meanwhile
  }
  return out;
}

Result<std::vector<DomainView>> LibvirtHost::domains() {
  virDomainPtr* list = nullptr;
  const int count = virConnectListAllDomains(state_->connection.get(), &list, 0);
  if (count < 0) return failed(state_->uri, "list domains");
  const std::unique_ptr<virDomainPtr, Freed<std::free>> owner(list);
  std::vector<DomainView> out;
  for (int i = 0; i < count; ++i) {
    const Domain domain(list[i]);
    const Text xml(virDomainGetXMLDesc(domain.get(), 0));
    if (!xml) continue;  // it went away meanwhile
    out.push_back({virDomainGetName(domain.get()), xml.get(), virDomainIsActive(domain.get()) == 1});
  }
  return out;
}

Result<Done> LibvirtHost::define(const std::string& name, const std::string& xml) {
  if (const Domain old(virDomainLookupByName(state_->connection.get(), name.c_str())); old) {
    return input_error(
        fmt::format("libvirt {}: a domain named {} is there already; take it down first, or choose another name",
                    state_->uri, name));
  }
  const Domain domain(virDomainDefineXMLFlags(state_->connection.get(), xml.c_str(), 0));
  if (!domain) return failed(state_->uri, "define domain " + name);
  return Done{};
}

Result<Done> LibvirtHost::start(const std::string& name) {
  auto domain = state_->find(name);
  if (!domain) return domain.error();
  if (virDomainCreate(domain->get()) < 0) return failed(state_->uri, "start domain " + name);
  return Done{};
}

Result<bool> LibvirtHost::runs(const std::string& name) {
  const Domain domain(virDomainLookupByName(state_->connection.get(), name.c_str()));
  if (!domain && last_code() == VIR_ERR_NO_DOMAIN) return false;
  const int active = domain ? virDomainIsActive(domain.get()) : -1;
  if (active < 0) return failed(state_->uri, "ask whether domain " + name + " runs");
  return active == 1;
}

Result<Done> LibvirtHost::destroy(const std::string& name) {
  const Domain domain(virDomainLookupByName(state_->connection.get(), name.c_str()));
  if (!domain && last_code() == VIR_ERR_NO_DOMAIN) return Done{};
  if (!domain) return failed(state_->uri, "find domain " + name);
  if (virDomainIsActive(domain.get()) == 0) return Done{};
  if (virDomainDestroyFlags(domain.get(), VIR_DOMAIN_DESTROY_GRACEFUL) < 0 && virDomainDestroy(domain.get()) < 0 &&
      virDomainIsActive(domain.get()) != 0) {
    return failed(state_->uri, "stop domain " + name);
  }
  return Done{};
}

Result<Done> LibvirtHost::undefine(const std::string& name) {
  const Domain domain(virDomainLookupByName(state_->connection.get(), name.c_str()));
  if (!domain && last_code() == VIR_ERR_NO_DOMAIN) return Done{};
  if (!domain) return failed(state_->uri, "find domain " + name);
  if (virDomainUndefine(domain.get()) < 0) return failed(state_->uri, "remove the definition of domain " + name);
  return Done{};
}

Result<Done> LibvirtHost::set_metadata(const std::string& name, const std::string& element) {
  auto domain = state_->find(name);
  if (!domain) return domain.error();
  unsigned where = VIR_DOMAIN_AFFECT_CONFIG;
  if (virDomainIsActive(domain->get()) == 1) where |= VIR_DOMAIN_AFFECT_LIVE;
  if (virDomainSetMetadata(domain->get(), VIR_DOMAIN_METADATA_ELEMENT, element.c_str(), "vigia",
                           std::string(kVigiaNamespace).c_str(), where) < 0) {
    return failed(state_->uri, "write the metadata of domain " + name);
  }
  return Done{};
}

}  // namespace vigia::orch
