// The JavaScript SDK's client against a server of ours: node client.mjs URL BINDING TOKEN.
// Prints what it saw as one line of JSON.
import { createPublicKey } from "node:crypto";
import {
  CancelTaskRequest,
  GetTaskRequest,
  ListTaskPushNotificationConfigsRequest,
  ListTasksRequest,
  SendMessageRequest,
  SubscribeToTaskRequest,
  TaskPushNotificationConfig,
  verifyAgentCardSignature,
} from "@a2a-js/sdk";
import { ClientFactory, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";
import { GrpcTransportFactory } from "@a2a-js/sdk/client/grpc";

const [url, binding, token] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const fetchImpl = (at, init = {}) =>
  fetch(at, { ...init, headers: { ...Object.fromEntries(new Headers(init.headers)), authorization } });

const transports = {
  JSONRPC: new JsonRpcTransportFactory({ fetchImpl }),
  "HTTP+JSON": new RestTransportFactory({ fetchImpl }),
  GRPC: new GrpcTransportFactory(),
};
const interceptor = {
  before: async (args) => {
    args.options = { ...args.options, serviceParameters: { ...args.options?.serviceParameters, authorization } };
  },
  after: async () => {},
};
const factory = new ClientFactory({
  transports: [transports[binding]],
  preferredTransports: [binding],
  clientConfig: binding === "GRPC" ? { interceptors: [interceptor] } : {},
});

const client = await factory.createFromUrl(url);
const request = (messageId, more = {}) =>
  SendMessageRequest.fromJSON({
    message: { messageId, role: "ROLE_USER", parts: [{ text: "hello" }], ...more },
  });
const state = (task) => task.status.state;
const events = async (stream) => {
  const seen = [];
  for await (const event of stream) seen.push(event.payload?.$case);
  return seen;
};
const failure = async (call) => {
  try {
    await call();
    return "none";
  } catch (error) {
    return error.name;
  }
};

const seen = { signed: "no" };
// As it was fetched: what the SDK has made of a card with security schemes, it cannot canonicalize.
await verifyAgentCardSignature(async (kid, jku) => {
  const { keys } = await (await fetch(jku)).json();
  return createPublicKey({ key: keys.find((key) => key.kid === kid), format: "jwk" });
})(await (await fetch(`${url}/.well-known/agent-card.json`)).json());
seen.signed = "yes";

const task = await client.sendMessage(request("tck-artifact-text-js"));
seen.sent = [state(task), task.artifacts[0].parts[0].content];
seen.again = (await client.sendMessage(request("tck-artifact-text-js"))).id === task.id;
seen.message = (await client.sendMessage(request("tck-message-response-js"))).parts[0].content;
seen.streamed = await events(client.sendMessageStream(request("tck-stream-003-js")));
const waiting = await client.sendMessage(request("tck-input-required-js"));
seen.waiting = state(waiting);
const listening = events(client.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id: waiting.id })));
await new Promise((resolve) => setTimeout(resolve, 300));
const more = { taskId: waiting.id };
seen.gone_on = state(await client.sendMessage(request("tck-complete-task-js", more)));
seen.heard = await listening;
seen.got = state(await client.getTask(GetTaskRequest.fromJSON({ id: waiting.id })));
seen.listed = (await client.listTasks(ListTasksRequest.fromJSON({ pageSize: 2 }))).tasks.length;
const other = await client.sendMessage(request("tck-auth-required-js"));
const cancel = CancelTaskRequest.fromJSON({ id: other.id });
seen.canceled = state(await client.cancelTask(cancel));
seen.errors = [
  await failure(() => client.getTask(GetTaskRequest.fromJSON({ id: "none" }))),
  await failure(() => client.cancelTask(cancel)),
];
const config = { taskId: other.id, id: "js", url: "https://example.com/hook" };
await client.createTaskPushNotificationConfig(TaskPushNotificationConfig.fromJSON(config));
const wanted = ListTaskPushNotificationConfigsRequest.fromJSON({ taskId: other.id });
seen.push = (await client.listTaskPushNotificationConfig(wanted)).configs.map((c) => c.id);
console.log(JSON.stringify(seen));
process.exit(0);
