// SPDX-License-Identifier: MIT
#include "mime_types.hpp"

#include <cctype>
#include <fstream>
#include <sstream>

namespace http {

MimeTypes::MimeTypes(const std::filesystem::path& list) {
    std::ifstream lines{list};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words{line.substr(0, line.find('#'))};
        std::string type;
        words >> type;
        for (std::string ending; words >> ending;) types_.emplace(ending, type);
    }
}

std::string_view MimeTypes::type_of(std::string_view path) const {
    const std::size_t dot = path.rfind('.');
    if (dot != std::string_view::npos && path.find('/', dot) == std::string_view::npos) {
        std::string ending{path.substr(dot + 1)};
        for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        if (const auto found = types_.find(ending); found != types_.end()) return found->second;
    }
    return "application/octet-stream";
}

}  // namespace http
