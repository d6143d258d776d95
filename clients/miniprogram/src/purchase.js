// Purchases of gold: an order of the server, WeChat's payment sheet, and the wait for the gold.

import { PaymentFailed } from "./errors.js";

const CANCELLED = -2;
const NUMBER_USED = -15002;
const OLD_SESSION_KEY = -15007;
const ORDER_CLOSED = -15012;
const ANSWER_MS = 180000; // WeChat's callback may be lost; the user needs time to pay
const POLL_MS = [500, 1000, 2000, 4000, 8000, 16000]; // until the gold is there

/** Resolves with a Purchase; PaymentFailed, Refused, Unreachable. */
export async function buy(client, platform, block_id) {
  if (!platform.requestPayment) throw new Error("only WeChat can pay");
  const { gold } = await client.getUserinfo();
  const remedied = []; // WeChat's codes, each of which is worth one more attempt
  let content = null;
  for (;;) {
    const earlier = content;
    content = await order(client, block_id);
    // If the server repeats an order whose number was used, its payment is on its way.
    if (remedied.includes(NUMBER_USED) && content.signData === earlier.signData) break;
    try {
      await answerOf(platform, content);
      break;
    } catch (error) {
      const code = error.errCode || 0;
      if (code === CANCELLED || /cancel/.test(error.message)) return { state: "cancelled" };
      const isCurable = [NUMBER_USED, OLD_SESSION_KEY, ORDER_CLOSED].includes(code);
      if (!isCurable || remedied.includes(code)) throw new PaymentFailed(code, error.message);
      remedied.push(code);
      if (code === OLD_SESSION_KEY) await client.signIn();
    }
  }
  return waitForGold(client, platform, gold);
}

/** What the phone passes to WeChat for an order. */
async function order(client, block_id) {
  const answer = await client.pay({ block_id }).catch(async (error) => {
    if (error.code !== "log_in_again") throw error;
    await client.signIn(); // the server has no session key
    return client.pay({ block_id });
  });
  return JSON.parse(answer.content);
}

/** Resolves when WeChat reports the payment, or has not answered in time. */
function answerOf(platform, content) {
  return new Promise((resolve, reject) => {
    const timer = platform.setTimeout(resolve, ANSWER_MS);
    const end = (settle) => (answer) => {
      platform.clearTimeout(timer);
      settle(answer);
    };
    platform.requestPayment(content).then(end(resolve), end(reject));
  });
}

/** WeChat's success is only a hint: the gold is credited when the server has verified the payment. */
async function waitForGold(client, platform, before) {
  for (const ms of POLL_MS) {
    await new Promise((resolve) => platform.setTimeout(resolve, ms));
    const { gold } = await client.getUserinfo().catch(() => ({ gold: before }));
    if (gold > before) return { state: "paid", gold };
  }
  return { state: "pending" };
}
