// SmallWebRTCTransport imports Daily's library for its default media manager. This page passes its own
// (src/microphone.ts), and nothing here may fetch code from another host, so reaching this is a mistake.
const refuse = () => {
  throw new Error("Daily is not part of this page: pass a mediaManager to SmallWebRTCTransport");
};

export default { getCallInstance: refuse, createCallObject: refuse };
