// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace chat {

/// What a browser shows. Texts of others are set as text, never as HTML.
inline constexpr std::string_view page = R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Chat</title>
<style>
  body { font: 16px sans-serif; max-width: 40em; margin: 1em auto; padding: 0 1em }
  #lines { height: 60vh; overflow-y: auto; border: 1px solid #aaa; padding: .5em; white-space: pre-wrap }
  form { display: flex; gap: .5em; margin-top: .5em }
  input { flex: 1; font: inherit }
</style>
<h1>Chat</h1>
<div id="lines" role="log"></div>
<form><input id="text" autocomplete="off" maxlength="500" placeholder="your name" autofocus><button>Send</button></form>
<script>
  const lines = document.getElementById("lines"), text = document.getElementById("text");
  const show = line => {
    const element = document.createElement("div");
    element.textContent = line;
    lines.append(element);
    lines.scrollTop = lines.scrollHeight;
  };
  const socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/[^/]*$/, "chat"));
  socket.onmessage = event => event.data.split("\n").filter(line => line).forEach(show);
  socket.onclose = () => show("* the connection is over");
  document.forms[0].onsubmit = event => {
    event.preventDefault();
    if (text.value) socket.send(text.value);
    text.value = "";
    text.placeholder = "what you say";
  };
</script>
</html>
)html";

}  // namespace chat
