// Sends a body so often, one after another, with the client's default settings: post.mjs URL COUNT BODY
const [url, count, body] = process.argv.slice(2);
let taken = 0;
let lost = 0;
for (let n = 0; n < Number(count); n++) {
  try {
    const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    await response.text();
    taken += response.status === 202 ? 1 : 0;
  } catch (failure) {
    lost++;
    console.error(failure);
  }
}
console.log(`taken ${taken} lost ${lost}`);
