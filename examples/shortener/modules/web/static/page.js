const message = document.getElementById("message");

async function send(path, options) {
  const answer = await fetch(path, options);
  if (answer.ok) {
    location.reload();
    return;
  }
  message.textContent = (await answer.json()).message;
}

document.getElementById("shorten").addEventListener("submit", (event) => {
  event.preventDefault();
  send("/links", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(Object.fromEntries(new FormData(event.target))),
  });
});

document.querySelectorAll("button[data-alias]").forEach((button) =>
  button.addEventListener("click", () =>
    send("/links/" + button.dataset.alias, {
      method: "DELETE",
      headers: { "If-Match": `"${button.dataset.revision}"` },
    }),
  ),
);
