declare module "*.css";
declare module "@daily-co/daily-js";
